/** binary:// output: a program that takes both streams, e.g. into a log. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { ShimError } from "../errors.js";
import { settledWithin, within } from "../time.js";
import { closeAll, openPipes } from "./descriptors.js";
import { sinkOf } from "./ends.js";
import type { Sinks } from "./types.js";

/** The program says that it reads by a byte on, or the end of, its descriptor 5. */
const READY_MS = 10_000;
/** At the end it sees both streams end, gets SIGTERM, and after this SIGKILL. */
const STOP_MS = 12_000;

export interface BinaryTarget {
  readonly path: string;
  readonly args: readonly string[];
}

/** `binary:///path?k=v&l=w` → path with arguments k v l w. */
export function binaryTarget(uri: URL): BinaryTarget {
  const args = [...uri.searchParams].flatMap(([key, value]) => (value === "" ? [key] : [key, value]));
  return { path: decodeURIComponent(uri.pathname), args };
}

/** @throws ShimError when the program cannot be started or does not become ready within 10 s */
export async function openBinarySinks(target: BinaryTarget, namespace: string, id: string): Promise<Sinks> {
  const [[outRead, outWrite], [errRead, errWrite], [readyRead, readyWrite]] = openPipes(3) as [
    [number, number],
    [number, number],
    [number, number],
  ];
  const child = spawn(target.path, [...target.args], {
    env: { CONTAINER_ID: id, CONTAINER_NAMESPACE: namespace },
    stdio: ["ignore", "ignore", "ignore", outRead, errRead, readyWrite],
  });
  closeAll([outRead, errRead, readyWrite]);
  const sinks = [sinkOf(outWrite), sinkOf(errWrite)] as const;
  const close = async () => {
    for (const each of sinks) each.close();
    await stop(child);
  };
  try {
    await ready(child, readyRead);
  } catch (cause) {
    await close();
    throw new ShimError(
      "UNAVAILABLE",
      `logging binary ${target.path} did not start`,
      "run it by hand to see why",
      cause,
    );
  }
  return { stdout: sinks[0], stderr: sinks[1], close };
}

async function ready(child: ChildProcess, fd: number): Promise<void> {
  const stream = createReadStream("", { fd });
  const failed = new Promise<never>((_, reject) => child.once("error", reject));
  const told = Promise.race([once(stream, "data"), once(stream, "end")]);
  try {
    await within(READY_MS, "waiting for the logging binary", Promise.race([told, failed]));
  } finally {
    stream.destroy();
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  if (!(await settledWithin(STOP_MS, ended))) child.kill("SIGKILL");
}
