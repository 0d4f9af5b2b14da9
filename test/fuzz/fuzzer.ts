/** Runs a target on inputs that are made from its seeds, and keeps those that reach new code. */
import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Coverage } from "./coverage.js";
import { cross } from "./mutate-bytes.js";
import { Random } from "./random.js";
import type { Target } from "./target.js";

/** Asking for coverage takes milliseconds, so many inputs share a question. */
const BATCH = 100;
const INPUT_MS = 20_000;
const MAX_RSS = 1 << 30;

export interface Limits {
  readonly seed: number;
  readonly iterations: number;
  readonly ms: number;
  /** Folder for the input under way and for those that fail; without it nothing is written and nothing guides the search. */
  readonly folder?: string;
}

export interface Summary {
  readonly iterations: number;
  readonly corpus: number;
  readonly blocks: number;
  readonly rssMiB: number;
}

export class Found extends Error {
  constructor(
    readonly input: Buffer,
    override readonly cause: unknown,
  ) {
    super(cause instanceof Error ? (cause.stack ?? cause.message) : String(cause));
  }
}

/** @throws Found at the first input that the target does not bear */
export async function fuzz(target: Target, limits: Limits): Promise<Summary> {
  const random = new Random(limits.seed);
  const guide = limits.folder === undefined ? undefined : new Coverage(target.covers);
  const corpus = [...target.seeds];
  const deadline = Date.now() + limits.ms;
  let iterations = 0;
  const current =
    limits.folder === undefined ? undefined : openSync(currentFile(limits.folder, target), "w", 0o600);
  const attempt = (input: Buffer) => {
    if (current !== undefined) note(current, input);
    return runOne(target, input);
  };
  await target.open?.();
  try {
    for (const seed of target.seeds) await attempt(seed);
    guide?.learn(guide.fresh());
    while (iterations < limits.iterations && Date.now() < deadline) {
      const batch: Buffer[] = [];
      while (batch.length < BATCH && iterations < limits.iterations && Date.now() < deadline) {
        const input = nextInput(target, random, corpus);
        batch.push(input);
        await attempt(input);
        iterations += 1;
      }
      // Timers and closed sockets get their turn too.
      await setImmediate();
      checkMemory(batch);
      if (guide !== undefined) corpus.push(...(await choose(batch, guide, attempt)));
    }
    const rssMiB = process.memoryUsage().rss >> 20;
    return { iterations, corpus: corpus.length, blocks: guide?.blocks ?? 0, rssMiB };
  } finally {
    await target.close?.();
    guide?.close();
    if (current !== undefined) closeSync(current);
  }
}

/** The inputs of a batch that reach new code. */
async function choose(
  batch: readonly Buffer[],
  guide: Coverage,
  attempt: (input: Buffer) => Promise<void>,
): Promise<Buffer[]> {
  const wanted = guide.fresh();
  if (wanted.size === 0) return [];
  const chosen: Buffer[] = [];
  for (const input of batch) {
    await attempt(input);
    const reached = [...guide.fresh()].filter((block) => wanted.has(block));
    if (reached.length > 0) chosen.push(input);
    guide.learn(reached);
    for (const block of reached) wanted.delete(block);
    if (wanted.size === 0) break;
  }
  // What only chance reaches would send us here again and again.
  guide.learn(wanted);
  return chosen;
}

/** Where the input under way is: all that a crash or an endless loop leaves behind. */
export function currentFile(folder: string, target: Target): string {
  return join(folder, `${target.name}.current`);
}

function note(file: number, input: Buffer): void {
  ftruncateSync(file, writeSync(file, input, 0, input.length, 0));
}

/** Runs one input as fuzz does. @throws Found */
export async function runOne(target: Target, input: Buffer): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`took over ${INPUT_MS} ms`)), INPUT_MS);
  });
  try {
    const running = target.run(input);
    if (running !== undefined) await Promise.race([running, late]);
  } catch (cause) {
    throw new Found(input, cause);
  } finally {
    clearTimeout(timer);
  }
}

/** @returns where the input is now */
export function keep(folder: string, target: Target, input: Buffer): string {
  mkdirSync(folder, { recursive: true });
  const path = join(
    folder,
    `${target.name}.${Random.of(input)
      .below(2 ** 32)
      .toString(16)}`,
  );
  writeFileSync(path, input);
  return path;
}

function nextInput(target: Target, random: Random, corpus: readonly Buffer[]): Buffer {
  const any = () => corpus[random.below(corpus.length)] ?? Buffer.alloc(0);
  let input = random.oneIn(10) ? cross(random, any(), any()) : any();
  do input = target.mutate(random, input);
  while (random.oneIn(2));
  return input;
}

function checkMemory(batch: readonly Buffer[]): void {
  const { rss } = process.memoryUsage();
  if (rss > MAX_RSS)
    throw new Found(batch.at(-1) ?? Buffer.alloc(0), new Error(`${rss >> 20} MiB of memory`));
}
