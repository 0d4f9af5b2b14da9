/** A container for a scenario: made, watched, and taken away again. */
import { execFileSync } from "node:child_process";
import { constants, existsSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { containerd } from "#protos/shim";
import { Code, TtrpcError } from "#ttrpc";
import { type ShimBench, type Spec, type Task, until } from "../integration/shim/bundle.js";

type Request = containerd.task.v2.CreateTaskRequest.$Properties;

export interface Made {
  readonly id: string;
  readonly bundle: string;
  readonly task: Task;
  readonly pid: number;
  /** What it has printed so far. */
  output(): string;
}

export interface Wanted {
  readonly args: readonly string[];
  readonly change?: (spec: Spec, bundle: string) => void;
  /** On top of the ordinary Create request. */
  readonly request?: (bundle: string) => Request;
}

export async function make(bench: ShimBench, wanted: Wanted): Promise<Made> {
  const { args, change, request } = wanted;
  const { id, bundle } = bench.makeBundle(args, (spec) => change?.(spec, bench.folder));
  openLog(bundle);
  const { task } = await bench.start(id, bundle);
  const stdout = join(bundle, "out.txt");
  const ordinary = { id, bundle, rootfs: bench.rootfs(), ...logTo(stdout) };
  const { pid } = await task.Create({ ...ordinary, ...request?.(bundle) });
  const output = () => (existsSync(stdout) ? readFileSync(stdout, "utf8") : "");
  return { id, bundle, task, pid, output };
}

/** As containerd's clients have it, both streams: the stock shim falls over one alone. */
export function logTo(path: string): { stdout: string; stderr: string } {
  return { stdout: `file://${path}`, stderr: `file://${path}` };
}

/** As containerd does: a shim writes into it, and the stock one does not start without. Held until this process ends. */
function openLog(bundle: string): void {
  const path = join(bundle, "log");
  execFileSync("mkfifo", ["-m", "700", path]);
  openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
}

/** Ends what may still run, deletes it, and lets the shim go. */
export async function remove(made: Made): Promise<void> {
  const { id, task } = made;
  await quietly(task.Resume({ id }));
  await quietly(task.Kill({ id, signal: 9 }));
  await task.Wait({ id });
  await task.Delete({ id });
  await leave(made);
}

/** Stock's answer may be lost in its exit. */
export async function leave(made: Made): Promise<void> {
  await quietly(made.task.Shutdown({ id: made.id }));
  unmountLeft(made);
}

/** As containerd does after Delete, before it removes the bundle. */
export function unmountLeft({ bundle }: Made): void {
  for (const point of mountsOf(bundle).reverse()) execFileSync("umount", [point]);
}

async function quietly(call: Promise<unknown>): Promise<void> {
  await call.catch(() => {});
}

/** "ok", or the name of the error's code. */
export async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    if (error instanceof TtrpcError) return nameOf(error.code);
    throw error;
  }
}

function nameOf(code: number): string {
  return Object.entries(Code).find(([, value]) => value === code)?.[0] ?? String(code);
}

export async function messageOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Waits for a line of the container's own output. */
export async function printed(made: Made, line: string, ms = 10_000): Promise<void> {
  await until(() => made.output().split("\n").includes(line), ms);
}

/** Mount points at and below a bundle, as this process sees them. */
export function mountsOf(bundle: string): string[] {
  const points = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return points.flatMap((line) => (line.split(" ")[4] ?? "").match(`^${bundle}(/.*)?$`)?.[0] ?? []);
}
