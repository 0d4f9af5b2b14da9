/**
 * The checkpoint bench: one loaded Redis, written out by stock runC and CRIU and by `pclive checkpoint` in turn while it serves an
 * open-loop load; then restored from the last image of each, in turn.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { table } from "../../runtime/cli/report.js";
import { Lab } from "../lab/lab.js";
import { CheckpointedRedis, type Restored, type Taken, type Tool } from "../lib/checkpoint-redis.js";
import { median, spread } from "./summary.js";

export interface CheckpointBenchOptions {
  readonly json: string;
  readonly memoryMb: readonly number[];
  readonly repetitions: number;
  /** Offered requests per second. */
  readonly rate: number;
}

/** Milliseconds and bytes. */
export interface CheckpointRow {
  readonly memory_mb: number;
  readonly client: string;
  readonly tool: Tool;
  readonly repetition: number;
  readonly frozen_ms: number;
  readonly client_gap_ms: number;
  readonly total_ms: number;
  readonly restore_ms: number;
  readonly image_bytes: number;
  readonly requests_lost: number;
  readonly data_right: boolean;
}

const CLIENT = { stock: "runc checkpoint --leave-running", pclive: "pclive checkpoint" } as const;

/** @returns the exit code */
export async function checkpointBench(options: CheckpointBenchOptions): Promise<number> {
  const lab = await Lab.up();
  const rows: CheckpointRow[] = [];
  const complaints: string[] = [];
  mkdirSync(dirname(options.json), { recursive: true });
  for (const [index, memoryMb] of options.memoryMb.entries()) {
    try {
      rows.push(...(await measure(lab, index, memoryMb, options)));
    } catch (error) {
      complaints.push(`${memoryMb} MB: ${(error as Error).message}`);
    }
    writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`);
  }
  for (const row of rows)
    if (row.requests_lost > 0 || !row.data_right)
      complaints.push(
        `${row.memory_mb} MB ${row.tool} #${row.repetition}: ${row.requests_lost} requests lost, data ${row.data_right}`,
      );
  process.stdout.write(`\n${tableOf(rows)}\n\n${options.json}: ${rows.length} checkpoints\n`);
  for (const line of complaints) process.stdout.write(`PROBLEM ${line}\n`);
  return complaints.length === 0 ? 0 : 1;
}

async function measure(
  lab: Lab,
  index: number,
  memoryMb: number,
  { repetitions, rate }: CheckpointBenchOptions,
): Promise<CheckpointRow[]> {
  const redis = await CheckpointedRedis.start(lab, {
    id: `keep${index}`,
    address: `10.10.4.${index + 1}`,
    memoryMb,
  });
  try {
    const taken: { tool: Tool; repetition: number; figures: Taken }[] = [];
    // Who is first alternates, so that whatever else happens on the machine meets both alike.
    const order = (repetition: number): Tool[] =>
      repetition % 2 ? ["stock", "pclive"] : ["pclive", "stock"];
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const tool of order(repetition)) {
        const figures = await redis.checkpoint(tool, rate);
        taken.push({ tool, repetition, figures });
        say(
          memoryMb,
          tool,
          repetition,
          `client gap ${figures.clientGapMs.toFixed(0)} ms, total ${figures.totalMs.toFixed(0)} ms`,
        );
      }
    }
    await redis.end();
    const restored = new Map<string, Restored>();
    for (let repetition = 1; repetition <= repetitions; repetition++) {
      for (const tool of order(repetition)) {
        const figures = await redis.restore(tool);
        restored.set(`${tool}${repetition}`, figures);
        say(memoryMb, tool, repetition, `restored in ${figures.restoreMs.toFixed(0)} ms`);
      }
    }
    return taken.map(({ tool, repetition, figures }) => {
      const back = restored.get(`${tool}${repetition}`);
      return {
        memory_mb: memoryMb,
        client: CLIENT[tool],
        tool,
        repetition,
        frozen_ms: figures.frozenMs,
        client_gap_ms: figures.clientGapMs,
        total_ms: figures.totalMs,
        restore_ms: back?.restoreMs ?? Number.NaN,
        image_bytes: figures.imageBytes,
        requests_lost: figures.lost,
        data_right: back?.dataRight ?? false,
      };
    });
  } finally {
    await redis.remove();
  }
}

function say(memoryMb: number, tool: Tool, repetition: number, text: string): void {
  process.stdout.write(`${memoryMb} MB ${tool} #${repetition}: ${text}\n`);
}

/** Medians and spreads, and how many times shorter ours are. */
export function tableOf(rows: readonly CheckpointRow[]): string {
  const lines = [["MB", "tool", "n", "client gap ms", "frozen ms", "total ms", "restore ms"]];
  for (const memory of new Set(rows.map((row) => row.memory_mb))) {
    const of = (tool: Tool, pick: (row: CheckpointRow) => number) =>
      rows.filter((row) => row.memory_mb === memory && row.tool === tool).map(pick);
    const picks: ((row: CheckpointRow) => number)[] = [
      (row) => row.client_gap_ms,
      (row) => row.frozen_ms,
      (row) => row.total_ms,
      (row) => row.restore_ms,
    ];
    for (const tool of ["stock", "pclive"] as const) {
      const count = of(tool, (row) => row.total_ms).length;
      lines.push([String(memory), tool, String(count), ...picks.map((pick) => spread(of(tool, pick)))]);
    }
    const ratio = (pick: (row: CheckpointRow) => number) =>
      `${(median(of("stock", pick)) / median(of("pclive", pick))).toFixed(1)}x`;
    lines.push([String(memory), "shorter by", "", ...picks.map(ratio)]);
  }
  return table(lines);
}
