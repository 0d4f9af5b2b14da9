/** What became of one case, as evaluation.json has it: milliseconds, bytes, and rates per second. */
import type { HostSample } from "../../lib/host-samples.js";
import type { LoadReport } from "../../lib/load.js";
import type { Report } from "../../lib/migrate.js";
import type { MovedUnderLoad } from "../../lib/move-under-load.js";
import { latenciesOf } from "../latency.js";
import { median } from "../summary.js";
import type { EvaluationCase } from "./plan.js";

/** A part of the pause; all of them together are the downtime. */
export interface Part {
  readonly name: string;
  readonly ms: number;
}

/** Seconds from the freeze, and a figure. */
export type Point = readonly [number, number];

export interface Throughput {
  readonly before: number;
  /** In the rounds; null: there were none. */
  readonly during: number | null;
  readonly after: number;
}

export interface Host {
  readonly cpuMs: number;
  readonly peakBytes: number;
  readonly cpus: readonly Point[];
  /** Above what it was when the case began. */
  readonly megabytes: readonly Point[];
}

export interface Moved extends EvaluationCase {
  readonly kind: "moved";
  readonly gapMs: number;
  readonly downtimeMs: number;
  readonly totalMs: number;
  readonly restoreMs: number;
  readonly wireBytes: number;
  readonly rounds: number;
  readonly pause: readonly Part[];
  readonly throughput: Throughput;
  /** Null for programs that nobody asks. */
  readonly p99BeforeMs: number | null;
  readonly p99DuringMs: number | null;
  readonly recoveryMs: number | null;
  readonly source: Host;
  readonly destination: Host;
  /** Units of work per second. */
  readonly series: readonly Point[];
  /** What was wrong for clients, or undefined. */
  readonly complaint?: string | undefined;
}

export interface Failed extends EvaluationCase {
  readonly kind: "failed";
  readonly why: string;
}

export type Outcome = Moved | Failed;

export interface Measured extends MovedUnderLoad {
  readonly pause: readonly Part[];
  readonly samples: { readonly from: readonly HostSample[]; readonly to: readonly HostSample[] };
}

const WINDOWS_PER_SECOND = 10;

export function outcomeOf(test: EvaluationCase, measured: Measured): Moved {
  const { report, load, roundsFrom, switchoverAt, usage, samples, pause } = measured;
  const offered = load.offered_rate > 0;
  const latencies = latenciesOf(load, roundsFrom || switchoverAt, switchoverAt);
  const known = (value: number): number | null => (offered && Number.isFinite(value) ? value : null);
  const complaint = complaintOf(load);
  return {
    ...test,
    kind: "moved",
    gapMs: load.client_gap_ms,
    downtimeMs: report.downtimeMs ?? 0,
    totalMs: report.totalMs ?? 0,
    restoreMs: report.restoreMs ?? 0,
    wireBytes: Number(report.wireBytes ?? 0),
    rounds: report.rounds?.length ?? 0,
    pause: pause.length > 0 ? pause : partsOf(report),
    throughput: throughputOf(load, roundsFrom, switchoverAt),
    p99BeforeMs: known(latencies.p99_before_ms),
    p99DuringMs: roundsFrom > 0 ? known(latencies.p99_rounds_ms) : null,
    recoveryMs: known(latencies.recovery_ms),
    source: hostOf(usage.from, samples.from, switchoverAt),
    destination: hostOf(usage.to, samples.to, switchoverAt),
    series: load.windows
      .map(([start, , received]) => [load.start_unix_ms + start, received] as const)
      .map(([at, received]) => [(at - switchoverAt) / 1000, received * WINDOWS_PER_SECOND]),
    ...(complaint === undefined ? {} : { complaint }),
  };
}

/** Without a trace: the report's figures, and what they leave unexplained. */
function partsOf(report: Report): Part[] {
  const parts = [
    { name: "restore", ms: report.restoreMs ?? 0 },
    { name: "commit", ms: report.commitMs ?? 0 },
  ];
  const explained = parts.reduce((sum, part) => sum + part.ms, 0);
  return [{ name: "dump and transfer", ms: Math.max(0, (report.downtimeMs ?? 0) - explained) }, ...parts];
}

function hostOf(
  usage: { readonly cpuMs: number; readonly peakBytes: number },
  samples: readonly HostSample[],
  zero: number,
): Host {
  const first = samples[0]?.bytes ?? 0;
  const seconds = ({ at }: HostSample): number => (at - zero) / 1000;
  return {
    ...usage,
    cpus: samples.map((sample) => [seconds(sample), sample.cpus]),
    megabytes: samples.map((sample) => [seconds(sample), (sample.bytes - first) / 1e6]),
  };
}

/** Medians over windows; a client's first second is left out, for it is still warming up. */
function throughputOf(load: LoadReport, roundsFrom: number, switchoverAt: number): Throughput {
  const rate = (from: number, to: number): number =>
    WINDOWS_PER_SECOND *
    median(
      load.windows
        .filter(([start]) => load.start_unix_ms + start >= from && load.start_unix_ms + start + 100 <= to)
        .map(([, , received]) => received),
    );
  const begin = roundsFrom || switchoverAt;
  const during = rate(roundsFrom, switchoverAt);
  const last = load.start_unix_ms + (load.windows.at(-1)?.[0] ?? 0);
  return {
    before: rate(load.start_unix_ms + 1000, begin),
    during: roundsFrom > 0 && Number.isFinite(during) ? during : null,
    after: rate(load.gap_end_unix_ms + 500, last),
  };
}

function complaintOf(load: LoadReport): string | undefined {
  const { lost, wrong, errors, broken_connections: broken, first_wrong: first } = load;
  return lost + wrong + errors + broken > 0
    ? `${lost} requests lost, ${wrong} wrong, ${errors} errors, ${broken} connections broken; ${first}`
    : undefined;
}
