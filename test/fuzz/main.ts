/**
 * Fuzzes one target for a while: `main.js TARGET SECONDS SEED FOLDER`; or runs one input again:
 * `main.js TARGET --input FILE`. An input that fails is kept in FOLDER.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { currentFile, Found, fuzz, keep, runOne } from "./fuzzer.js";
import type { Target } from "./target.js";
import { TARGETS } from "./targets/index.js";

async function main([name, seconds, seed, folder]: readonly (string | undefined)[]): Promise<void> {
  const target = TARGETS.find((one) => one.name === name);
  if (target === undefined || seed === undefined) {
    throw new Error(
      `usage: main.js TARGET SECONDS SEED FOLDER | TARGET --input FILE; TARGET: ${TARGETS.map((one) => one.name).join(" ")}`,
    );
  }
  if (seconds === "--input") return replay(target, seed);
  if (folder === undefined || !(Number(seconds) > 0))
    throw new Error("say for how many seconds, and in which folder");
  mkdirSync(folder, { recursive: true });
  const unexpected = (error: unknown) =>
    fail(target, folder, readFileSync(currentFile(folder, target)), error);
  process.on("uncaughtException", unexpected);
  process.on("unhandledRejection", unexpected);
  try {
    const limits = {
      seed: Number(seed),
      iterations: Number.POSITIVE_INFINITY,
      ms: Number(seconds) * 1000,
      folder,
    };
    const { iterations, corpus, blocks, rssMiB } = await fuzz(target, limits);
    rmSync(currentFile(folder, target), { force: true });
    console.log(
      `${target.name}: ${iterations} inputs, ${corpus} kept, ${blocks} blocks of code, ${rssMiB} MiB`,
    );
  } catch (error) {
    if (!(error instanceof Found)) throw error;
    fail(target, folder, error.input, error.message);
  }
}

async function replay(target: Target, file: string): Promise<void> {
  await target.open?.();
  await runOne(target, readFileSync(file));
  await target.close?.();
  console.log(`${target.name}: nothing wrong with ${file}`);
}

function fail(target: Target, folder: string, input: Buffer, error: unknown): never {
  const path = keep(folder, target, input);
  console.error(error);
  console.error(
    `${target.name}: failed; again by: node build/js/test/fuzz/main.js ${target.name} --input ${path}`,
  );
  process.exit(1);
}

await main(process.argv.slice(2));
