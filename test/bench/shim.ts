/** The shim bench: time of a short container and memory of the shims, beside the stock shim. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Lab } from "../lab/lab.js";
import { figuresOf, type HostFigures, tableOf } from "./shim-figures.js";

export interface ShimBenchOptions {
  readonly json: string;
  readonly pairs: number;
}

const BENCH_MS = 900_000;

/** @returns the exit code */
export async function shimBench(options: ShimBenchOptions): Promise<number> {
  const lab = await Lab.up();
  const command = ["node", "/repo/build/js/test/bench/shim-host.js", String(options.pairs)];
  const { stdout } = await lab.exec("a", command, { timeoutMs: BENCH_MS });
  const figures = figuresOf(JSON.parse(stdout) as HostFigures);
  mkdirSync(dirname(options.json), { recursive: true });
  writeFileSync(options.json, `${JSON.stringify(figures, null, 2)}\n`);
  process.stdout.write(`${tableOf(figures)}\nwritten to ${options.json}\n`);
  return 0;
}
