/**
 * How far the predicted downtime is from the real one: containers of different sizes and loads move, one after the other.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { table } from "../../runtime/cli/report.js";
import { formatMs } from "../../runtime/format.js";
import { Lab } from "../lab/lab.js";
import type { Report } from "../lib/migrate.js";
import { moveRedis } from "../lib/move-redis.js";
import { warmthFor } from "../lib/warm.js";
import { median } from "./summary.js";

interface Workload {
  readonly name: string;
  readonly memoryMb: number;
  readonly reads: number;
  /** Requests per second. */
  readonly rate: number;
}

const WORKLOADS: readonly Workload[] = [
  { name: "5 MB, idle", memoryMb: 5, reads: 1, rate: 10 },
  { name: "256 MB, half writes", memoryMb: 256, reads: 0.5, rate: 2000 },
  { name: "1 GB, read-heavy", memoryMb: 1000, reads: 0.9, rate: 2000 },
  { name: "1 GB, write-heavy", memoryMb: 1000, reads: 0.1, rate: 2000 },
];

interface Row {
  readonly workload: string;
  readonly repetition: number;
  readonly clientGapMs: number;
  /** Of the real downtime; below zero: it was longer than predicted. */
  readonly error: number;
  readonly report: Report;
}

/** Share of the real downtime by which the prediction was off. */
function errorOf(report: Report): number {
  const real = report.downtimeMs ?? 0;
  return real > 0 ? ((report.predictedDowntimeMs ?? 0) - real) / real : 0;
}

function line(row: Row): string[] {
  const { report } = row;
  return [
    row.workload,
    formatMs(report.predictedDowntimeMs ?? 0),
    formatMs(report.downtimeMs ?? 0),
    `${(100 * row.error).toFixed(0)} %`,
    formatMs(row.clientGapMs),
  ];
}

/** Writes the JSON after every migration and prints the table. @returns the exit code */
export async function predictionBench(options: { json: string; repetitions: number }): Promise<number> {
  const lab = await Lab.up();
  await lab.shape(10_000);
  const rows: Row[] = [];
  mkdirSync(dirname(options.json), { recursive: true });
  for (let repetition = 1; repetition <= options.repetitions; repetition++) {
    for (const [index, workload] of WORKLOADS.entries()) {
      const { report, load } = await moveRedis(lab, {
        id: `predict${repetition}-${index}`,
        address: `10.10.${2 + repetition}.${1 + index}`,
        from: "a",
        to: "b",
        memoryMb: workload.memoryMb,
        valueBytes: 4096,
        load: { rate: workload.rate, reads: workload.reads, connections: 8 },
        migrate: { downtime: "100ms" },
        settleMs: 1000,
        warmMb: warmthFor(workload.memoryMb),
      });
      const row = { workload: workload.name, repetition, clientGapMs: load.client_gap_ms, report };
      rows.push({ ...row, error: errorOf(report) });
      process.stdout.write(`${line(rows.at(-1) as Row).join("  ")}\n`);
      writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`);
    }
  }
  await lab.shape("off");
  const head = ["", "predicted", "real", "error", "gap seen by the client"];
  const off = median(rows.map((row) => Math.abs(row.error)));
  process.stdout.write(`\n${table([head, ...rows.map(line)])}\n\n`);
  process.stdout.write(
    `median of the error, whatever its sign: ${(100 * off).toFixed(0)} % (${rows.length} migrations)\n`,
  );
  return 0;
}
