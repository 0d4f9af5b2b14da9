/** binary:// and binary-v2:// output: a program that takes both streams, e.g. into a log. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, readSync } from "node:fs";
import { watchReadable } from "#addon";
import { messageOf, ShimError } from "../errors.js";
import { settledWithin, within } from "../time.js";
import { closeAll, openPipes } from "./descriptors.js";
import { sinkOf } from "./ends.js";
import type { Sinks } from "./types.js";

/** The program says that it reads by a byte on its descriptor 5, or (not with binary-v2) by closing that. */
const READY_MS = 10_000;
/** At the end it sees both streams end, gets SIGTERM, and after this SIGKILL. */
const STOP_MS = 12_000;
const KILL_MS = 1000;

type Pipe = [read: number, write: number];

export interface BinaryTarget {
  readonly path: string;
  readonly args: readonly string[];
  /** Only a byte says that it is ready: with the end of descriptor 5 alone it has failed. */
  readonly saysReady: boolean;
}

/** `binary:///path?k=v&l` → path with arguments k v l "": of a name that comes again the first value counts. */
export function binaryTarget(uri: URL): BinaryTarget {
  const names = new Set(uri.searchParams.keys());
  const args = [...names].flatMap((name) => [name, uri.searchParams.get(name) ?? ""]);
  return { path: decodeURIComponent(uri.pathname), args, saysReady: uri.protocol === "binary-v2:" };
}

/** @throws ShimError when the program cannot be started or does not become ready within 10 s */
export async function openBinarySinks(target: BinaryTarget, namespace: string, id: string): Promise<Sinks> {
  const [out, err, told] = openPipes(3) as [Pipe, Pipe, Pipe];
  const sinks = [sinkOf(out[1]), sinkOf(err[1])] as const;
  let child: ChildProcess | undefined;
  const close = async () => {
    for (const each of sinks) each.close();
    if (child) await stop(child);
  };
  try {
    try {
      child = start(target, namespace, id, [out[0], err[0], told[1]]);
    } catch (error) {
      closeSync(told[0]);
      throw error;
    } finally {
      closeAll([out[0], err[0], told[1]]);
    }
    await ready(child, told[0], target.saysReady);
  } catch (cause) {
    await close();
    const message = `logging binary ${target.path} did not start: ${messageOf(cause)}`;
    throw new ShimError("UNAVAILABLE", message, "run it by hand to see why", cause);
  }
  return { stdout: sinks[0], stderr: sinks[1], close };
}

/** @throws Error for a path or an argument that no program can have */
function start(target: BinaryTarget, namespace: string, id: string, given: readonly number[]): ChildProcess {
  const env = { CONTAINER_ID: id, CONTAINER_NAMESPACE: namespace };
  return spawn(target.path, [...target.args], { env, stdio: ["ignore", "ignore", "ignore", ...given] });
}

/** Watched, not read by a stream: that would hold one of the shim's two helper threads for as long as it waits. */
async function ready(child: ChildProcess, fd: number, mustSay: boolean): Promise<void> {
  let stopWatching = () => {};
  const told = new Promise<void>((resolve, reject) => {
    child.once("error", reject);
    stopWatching = watchReadable(fd, () => {
      stopWatching();
      const said = readSync(fd, Buffer.alloc(1)) > 0;
      if (said || !mustSay) resolve();
      else reject(new Error("it has ended without a byte on descriptor 5"));
    });
  });
  try {
    await within(READY_MS, "waiting for the logging binary", told);
  } finally {
    stopWatching();
    closeSync(fd);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  if (await settledWithin(STOP_MS, ended)) return;
  child.kill("SIGKILL");
  await settledWithin(KILL_MS, ended);
}
