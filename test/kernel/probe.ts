/**
 * Does one thing with one shim and prints what came of it as JSON: `probe.js SHIM SCENARIO…`. Runs where the
 * containers run (a lab's host, a guest), so that a test outside can hold two shims beside each other.
 */
import { inspect } from "node:util";
import { ShimBench } from "../integration/shim/bundle.js";
import { type Scenario, scenarios } from "./scenarios.js";

async function main(): Promise<void> {
  const [shim = "", ...names] = process.argv.slice(2);
  const results: Record<string, unknown> = {};
  for (const name of names) {
    const scenario = scenarios.get(name);
    if (!scenario) throw new Error(`no scenario ${name}; there are: ${[...scenarios.keys()].join(" ")}`);
    results[name] = await run(shim, name, scenario);
  }
  process.stdout.write(`${JSON.stringify(results)}\n`);
}

async function run(shim: string, name: string, scenario: Scenario): Promise<unknown> {
  const bench = new ShimBench(shim);
  await bench.open();
  try {
    return await scenario(bench);
  } catch (error) {
    throw new Error(`${name} with ${shim}`, { cause: error });
  } finally {
    // What a failed scenario leaves must not hide why it failed.
    await bench.close().catch(() => {});
  }
}

main().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${inspect(error)}\n`);
    process.exit(1);
  },
);
