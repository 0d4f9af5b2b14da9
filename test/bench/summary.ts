/**
 * Median and spread of repeated measurements, and the table that a bench prints.
 */
import { table } from "../../runtime/cli/report.js";
import type { Latencies } from "./latency.js";

/** One migration as the JSON file has it; milliseconds and bytes. */
export interface Row extends Latencies {
  readonly workload: string;
  readonly memory_mb: number;
  readonly link_mbit: number;
  readonly strategy: string;
  readonly repetition: number;
  readonly client_gap_ms: number;
  /** Time the container was frozen in pre-copy rounds; the pause itself is switchover_ms. */
  readonly frozen_ms: number;
  readonly attach_ms: number;
  readonly final_pages_ms: number;
  readonly skeleton_dump_ms: number;
  readonly restore_ms: number;
  readonly memory_restore_ms: number;
  readonly switchover_ms: number;
  readonly total_ms: number;
  readonly wire_bytes: number;
  /** All that left the source's link, from the command to its end: what was moved, the clients' answers, headers. */
  readonly link_bytes: number;
  readonly rss_bytes: number;
  readonly rounds: number;
  /** Achieved over offered requests during the rounds. */
  readonly achieved_share: number;
  /** Of everything on the source, the container included, from the command to its end. */
  readonly source_cpu_ms: number;
  /** Of everything on the destination, above what it was before. */
  readonly destination_peak_bytes: number;
  readonly requests_lost: number;
  readonly connections_broken: number;
  readonly digest_identical: boolean;
}

/** The middle value; the mean of the two middle ones of an even count. NaN for none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** "median (lowest–highest)", whole milliseconds. */
export function spread(values: readonly number[]): string {
  const digits = median(values) < 10 ? 1 : 0;
  const show = (value: number): string => value.toFixed(digits);
  return `${show(median(values))} (${show(Math.min(...values))}–${show(Math.max(...values))})`;
}

/** In the order in which keys are met. */
export function groupBy<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const found = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const group = found.get(key);
    if (group) group.push(one);
    else found.set(key, [one]);
  }
  return found;
}

function groups(rows: readonly Row[]): Map<string, Row[]> {
  return groupBy(rows, (row) => `${row.workload}|${row.memory_mb}|${row.link_mbit}|${row.strategy}`);
}

/** A line for each case: medians and spreads over the repetitions. */
export function summary(rows: readonly Row[]): string {
  const lines = [
    [
      "workload",
      "MB",
      "Mbit/s",
      "strategy",
      "n",
      "client gap ms",
      "switchover ms",
      "restore ms",
      "memory restore ms",
      "final pages ms",
      "skeleton ms",
      "total ms",
      "achieved",
    ],
  ];
  for (const group of groups(rows).values()) {
    const first = group[0];
    if (first === undefined) continue;
    const of = (pick: (row: Row) => number): string => spread(group.map(pick));
    lines.push([
      first.workload,
      String(first.memory_mb),
      String(first.link_mbit),
      first.strategy,
      String(group.length),
      of((r) => r.client_gap_ms),
      of((r) => r.switchover_ms),
      of((r) => r.restore_ms),
      of((r) => r.memory_restore_ms),
      of((r) => r.final_pages_ms),
      of((r) => r.skeleton_dump_ms),
      of((r) => r.total_ms),
      `${(100 * median(group.map((r) => r.achieved_share))).toFixed(1)} %`,
    ]);
  }
  return table(lines);
}

/** How many times shorter pipelined is than precopy, for each case that has both. */
export function ratios(rows: readonly Row[]): string {
  const lines = [["pipelined against precopy", "client gap", "restore", "memory restore"]];
  const byKey = groups(rows);
  for (const [key, pipelined] of byKey) {
    if (!key.endsWith("|pipelined")) continue;
    const precopy = byKey.get(key.replace(/pipelined$/, "precopy"));
    if (precopy === undefined) continue;
    const ratio = (pick: (row: Row) => number): string =>
      `${(median(precopy.map(pick)) / median(pipelined.map(pick))).toFixed(1)}x`;
    const [workload, memory, link] = key.split("|");
    lines.push([
      `${workload}, ${memory} MB, ${link} Mbit/s`,
      ratio((r) => r.client_gap_ms),
      ratio((r) => r.restore_ms),
      ratio((r) => r.memory_restore_ms),
    ]);
  }
  return lines.length > 1 ? table(lines) : "";
}
