/** `pclive bench`: the benchmarks of the project's sources, with a lab of two hosts of their own. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { CliError, EXIT } from "./exit.js";

const PROGRAM = "build/js/test/bench/main.js";

export function addBench(program: Command): void {
  program
    .command("bench")
    .description("run a benchmark of the project's sources on this machine (as root, in a lab of two hosts)")
    .usage("[name] [options of the benchmark]")
    .option("--source <folder>", "the sources; default: where you are, or where this command is from")
    .addHelpText(
      "after",
      "\nWithout a name: the evaluation, 10 minutes; --full for all of it. docs/benchmarks.md",
    )
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (flags: { source?: string }, command: Command) => {
      const here = dirname(fileURLToPath(import.meta.url));
      const places = flags.source === undefined ? [process.cwd(), here] : [flags.source];
      process.exitCode = await run(findSources(places), argumentsOf(command.args));
    });
}

/** @param words what was given behind `bench`: a name first, if any */
export function argumentsOf(words: readonly string[]): string[] {
  const [first] = words;
  return first === undefined || first.startsWith("-") ? ["evaluation", ...words] : [...words];
}

/** The nearest folder at or above one of the places that has the sources. @throws CliError when none has */
export function findSources(places: readonly string[]): string {
  const found = places.flatMap(ancestors).find(hasSources);
  if (found === undefined) {
    throw new CliError(
      "USAGE",
      "the benchmarks come with PCLive's sources, and there are none here",
      "get the sources, `make build lab-images` there, and name the folder with --source",
    );
  }
  if (existsSync(join(found, PROGRAM))) return found;
  throw new CliError("FAILED", `the benchmarks in ${found} are not built`, "`make build lab-images` there");
}

function ancestors(folder: string): string[] {
  const parent = dirname(folder);
  return parent === folder ? [folder] : [folder, ...ancestors(parent)];
}

function hasSources(folder: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { name?: unknown };
    return name === "pclive" && existsSync(join(folder, "test/bench"));
  } catch {
    return false;
  }
}

/** @returns the benchmark's exit code */
function run(sources: string, words: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [PROGRAM, ...words], { cwd: sources, stdio: "inherit" });
  // The terminal tells both; the benchmark takes its lab down, and we wait for that.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? EXIT.failed));
  });
}
