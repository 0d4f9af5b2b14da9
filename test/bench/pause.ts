/**
 * Where each millisecond of the pause goes: an idle Redis moves several times, each move traced. Keeps the tables and
 * the picture of docs/downtime.md up to date, if told to.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../lab/lab.js";
import { moveRedis } from "../lib/move-redis.js";
import { pauseMs, readTrace } from "../lib/trace.js";
import { warmthFor } from "../lib/warm.js";
import { pauseTables, typical, updated } from "./pause-table.js";
import { tracePicture } from "./trace-picture.js";

export interface PauseOptions {
  readonly out: string;
  readonly repetitions: number;
  /** Also into docs/downtime.md and docs/img/pause.svg. */
  readonly docs: boolean;
}

const MEMORY_MB = 8;
const ON_SOURCE = "/run/pause-bench.json";

/** @returns the trace of one move */
async function tracedMove(lab: Lab, number: number): Promise<string> {
  try {
    await moveRedis(lab, {
      id: `pause${number}`,
      address: `10.10.2.${number}`,
      from: "a",
      to: "b",
      memoryMb: MEMORY_MB,
      valueBytes: 4096,
      load: { rate: 500, reads: 1, connections: 1 },
      migrate: { trace: ON_SOURCE },
      settleMs: 1000,
      warmMb: warmthFor(MEMORY_MB),
    });
    return (await lab.exec("a", ["cat", ON_SOURCE])).stdout;
  } finally {
    await lab.exec("a", ["rm", "-f", ON_SOURCE]).catch(() => undefined);
  }
}

/** Prints the tables and writes the picture. @returns the exit code */
export async function pauseBench({ out, repetitions, docs }: PauseOptions): Promise<number> {
  const lab = await Lab.up();
  await lab.shape(10_000);
  mkdirSync(out, { recursive: true });
  const traces = [];
  for (let number = 1; number <= repetitions; number++) {
    const text = await tracedMove(lab, number);
    writeFileSync(join(out, `trace-${number}.json`), text);
    const trace = { ...readTrace(text), text };
    traces.push(trace);
    process.stdout.write(`[${number}/${repetitions}] ${pauseMs(trace).toFixed(1)} ms\n`);
  }
  await lab.shape("off");
  const tables = pauseTables(traces);
  const picture = tracePicture(typical(traces)?.text ?? "");
  writeFileSync(join(out, "pause.svg"), picture);
  process.stdout.write(`\n${tables}\n\n${out}: traces, and a picture of the middle one\n`);
  if (docs) {
    const page = "docs/downtime.md";
    writeFileSync(page, updated(readFileSync(page, "utf8"), tables));
    writeFileSync("docs/img/pause.svg", picture);
  }
  return 0;
}
