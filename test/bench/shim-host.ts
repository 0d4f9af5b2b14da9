/**
 * The part of the shim bench that runs on a host of the lab: starts containers with one shim and the other, in turn,
 * and reads the memory of the shims' processes. Prints one JSON object.
 */
import { execFile, execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import type { HostFigures, Memory, MemoryCase, RunTime } from "./shim-figures.js";

const run = promisify(execFile);
const IMAGE = "pclive.test/base:latest";
const COMMAND_MS = 60_000;
const QUIET_MS = 20_000;
/** After the start: what was only needed for that has been given back. */
const SETTLE_MS = 3000;
const GROUP = "io.containerd.runc.v2.group";
const SANDBOX = "io.kubernetes.cri.sandbox-id";

export const RUNTIMES = { stock: "io.containerd.runc.v2", pclive: "io.containerd.pclive.v2" } as const;
type Shim = keyof typeof RUNTIMES;
const BINARIES: Readonly<Record<Shim, string>> = {
  stock: "containerd-shim-runc-v2",
  pclive: "containerd-shim-pclive-v2",
};

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const ctr = (...args: string[]) => run("ctr", args, { timeout: COMMAND_MS });

/** Processes of this host whose program, as it was called, is the shim's. */
function processesOf(shim: Shim): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const program = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")[0] ?? "";
        return program.endsWith(BINARIES[shim]);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Neither shim has a process left: what one has still to tidy up must not be counted as the other's time. */
async function quiet(): Promise<void> {
  const deadline = Date.now() + QUIET_MS;
  while (processesOf("stock").length + processesOf("pclive").length > 0) {
    if (Date.now() > deadline) throw new Error("shims of an earlier run do not end; remedy: make clean-lab");
    await sleep(10);
  }
}

/** `ctr run --rm` of a program that ends at once, with one shim and the other in turn; who is first alternates. */
export async function timeRuns(pairs: number): Promise<RunTime[]> {
  const times: RunTime[] = [];
  // The first pair warms the page cache, and is not counted.
  for (let pair = 0; pair <= pairs; pair++) {
    const order: Shim[] = pair % 2 === 0 ? ["stock", "pclive"] : ["pclive", "stock"];
    const measured: Partial<Record<Shim, number>> = {};
    for (const shim of order) {
      await quiet();
      const begun = performance.now();
      await ctr("run", "--rm", "--runtime", RUNTIMES[shim], IMAGE, `run-${shim}-${pair}`, "true");
      measured[shim] = performance.now() - begun;
    }
    if (pair > 0) times.push({ stock_ms: measured.stock ?? 0, pclive_ms: measured.pclive ?? 0 });
  }
  return times;
}

function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
  return { rss: kib("Rss"), pss: kib("Pss"), uss: kib("Private_Clean") + kib("Private_Dirty") };
}

/** @param group puts the containers into one shim, by the annotation given */
async function measureMemory(shim: Shim, containers: number, group?: string): Promise<MemoryCase> {
  await quiet();
  const ids = Array.from({ length: containers }, (_, index) => `memory-${index}`);
  const annotations = group === undefined ? [] : ["--annotation", `${group}=memory-0`];
  for (const id of ids) {
    await ctr("run", "-d", "--runtime", RUNTIMES[shim], ...annotations, IMAGE, id, "sleep", "1000");
  }
  await sleep(SETTLE_MS);
  const shims = processesOf(shim).map(memoryOf);
  for (const id of ids) {
    await ctr("task", "kill", "-s", "KILL", id);
    await ctr("task", "delete", id).catch(() => ctr("task", "delete", "-f", id));
    await ctr("container", "delete", id);
  }
  const sum = (of: (memory: Memory) => number) => shims.reduce((total, memory) => total + of(memory), 0);
  return {
    shim,
    containers,
    grouped: group !== undefined,
    shims: shims.length,
    total: { rss: sum((m) => m.rss), pss: sum((m) => m.pss), uss: sum((m) => m.uss) },
  };
}

async function main(pairs: number): Promise<void> {
  const runs = await timeRuns(pairs);
  const memory: MemoryCase[] = [];
  for (const shim of ["stock", "pclive"] as const) {
    for (const containers of [1, 10, 50]) memory.push(await measureMemory(shim, containers));
    for (const containers of [1, 10, 50]) memory.push(await measureMemory(shim, containers, GROUP));
    memory.push({ ...(await measureMemory(shim, 5, SANDBOX)), pod: true });
  }
  const figures: HostFigures = { runs, memory, containerd: version("containerd"), runc: version("runc") };
  process.stdout.write(JSON.stringify(figures));
}

function version(program: string): string {
  return execFileSync(program, ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "";
}

await main(Number(process.argv[2] ?? 30));
