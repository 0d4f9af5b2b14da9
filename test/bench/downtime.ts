/**
 * The downtime bench: a loaded Redis is moved by each strategy in turn.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Lab } from "../lab/lab.js";
import { type Moved, moveRedis } from "../lib/move-redis.js";
import { warmthFor } from "../lib/warm.js";
import { draw } from "./draw.js";
import { judged } from "./goals.js";
import { type Latencies, latenciesOf } from "./latency.js";
import { picture } from "./picture.js";
import { type Case, cases, type Plan, WORKLOADS } from "./plan.js";
import { type Row, ratios, summary } from "./summary.js";

export interface DowntimeOptions {
  readonly plan: Plan;
  readonly json: string;
  /** Where a chart of the gaps goes; undefined: none. */
  readonly svg?: string | undefined;
  /** Offered requests per second: about half of the machine stays idle. */
  readonly rate: number;
}

const VALUE_BYTES = 4096;
/**
 * A virtual machine's kernel hands memory that became free back to the hypervisor, from two seconds on, and stops all
 * processors meanwhile: what the last container has left must not stop the next one.
 */
const REST_MS = 4000;

function row(test: Case, moved: Moved): Row {
  const report = moved.report;
  const rounds = report.rounds ?? [];
  return {
    workload: test.workload,
    memory_mb: test.memoryMb,
    link_mbit: test.linkMbit,
    strategy: test.strategy,
    repetition: test.repetition,
    client_gap_ms: moved.load.client_gap_ms,
    frozen_ms: report.frozenInRoundsMs ?? 0,
    attach_ms: Math.max(0, ...rounds.map((round) => round.attachMs ?? 0)),
    final_pages_ms: report.finalPagesMs ?? 0,
    skeleton_dump_ms: report.skeletonDumpMs ?? 0,
    restore_ms: report.restoreMs ?? 0,
    memory_restore_ms: report.memoryRestoreMs ?? 0,
    switchover_ms: report.downtimeMs ?? 0,
    total_ms: report.totalMs ?? 0,
    wire_bytes: Number(report.wireBytes ?? 0),
    link_bytes: moved.usage.from.linkBytes,
    rss_bytes: Number(report.rssBytes ?? 0),
    rounds: rounds.length,
    achieved_share: moved.achievedInRounds,
    ...latencies(moved),
    source_cpu_ms: moved.usage.from.cpuMs,
    destination_peak_bytes: moved.usage.to.peakBytes,
    requests_lost: moved.load.lost,
    connections_broken: moved.load.broken_connections,
    digest_identical: moved.digestBefore === moved.digestAfter,
  };
}

function latencies({ load, roundsFrom, switchoverAt }: Moved): Latencies {
  return latenciesOf(load, roundsFrom, switchoverAt);
}

function complaint(moved: Moved): string | undefined {
  const { lost, wrong, errors, broken_connections: broken } = moved.load;
  if (moved.digestBefore !== moved.digestAfter)
    return `digest ${moved.digestBefore} became ${moved.digestAfter}`;
  return lost + wrong + errors + broken > 0
    ? `${lost} requests lost, ${wrong} wrong, ${errors} errors, ${broken} connections broken ${moved.load.first_wrong}`
    : undefined;
}

/** Runs the plan, writes the JSON after every migration, prints the tables. @returns the exit code */
export async function downtime(options: DowntimeOptions): Promise<number> {
  const lab = await Lab.up();
  const rows: Row[] = [];
  const complaints: string[] = [];
  const all = cases(options.plan);
  mkdirSync(dirname(options.json), { recursive: true });
  for (const [index, test] of all.entries()) {
    await lab.shape(test.linkMbit);
    await sleep(REST_MS);
    const name = `${test.workload} ${test.memoryMb} MB ${test.linkMbit} Mbit/s ${test.strategy} #${test.repetition}`;
    process.stdout.write(`[${index + 1}/${all.length}] ${name}: `);
    try {
      const moved = await moveRedis(lab, {
        id: `bench${index}`,
        address: `10.10.${2 + (index >> 7)}.${1 + (index & 127)}`,
        from: "a",
        to: "b",
        memoryMb: test.memoryMb,
        valueBytes: VALUE_BYTES,
        load: { rate: options.rate, ...WORKLOADS[test.workload] },
        migrate: test.strategy === "stock" ? "stock" : { strategy: test.strategy },
        settleMs: 1500,
        warmMb: warmthFor(test.memoryMb),
      });
      const result = row(test, moved);
      rows.push(result);
      const wrong = complaint(moved);
      if (wrong !== undefined) complaints.push(`${name}: ${wrong}`);
      process.stdout.write(
        `client gap ${result.client_gap_ms.toFixed(0)} ms, restore ${result.restore_ms.toFixed(0)} ms${wrong ? `, BUT ${wrong}` : ""}\n`,
      );
    } catch (error) {
      complaints.push(`${name}: ${(error as Error).message}`);
      process.stdout.write(`failed: ${(error as Error).message}\n`);
    }
    writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`);
  }
  await lab.shape("off");
  if (options.svg !== undefined) writeFileSync(options.svg, (await draw(picture(rows))).svg);
  process.stdout.write(
    `\n${summary(rows)}\n\n${ratios(rows)}\n\n${judged(rows)}\n\n${options.json}: ${rows.length} migrations\n`,
  );
  for (const line of complaints) process.stdout.write(`PROBLEM ${line}\n`);
  return complaints.length === 0 ? 0 : 1;
}
