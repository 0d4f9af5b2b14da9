/** Puts together the standard streams of a process as its client asked for them. The rarer kinds are loaded when needed. */
import type { RuntimeOptions } from "../bundle/options.js";
import { refused } from "../errors.js";
import { openFifoSource } from "./fifo.js";
import type { MigratedIo } from "./migrated.js";
import { PipedIo } from "./piped.js";
import { mustHaveDescriptors } from "./reserve.js";
import { fifoPath, type Owner, openSinks } from "./sinks.js";
import type { ProcessIo, Sinks, Source, StdioPaths } from "./types.js";

type PipeOptions = Pick<RuntimeOptions, "ioUid" | "ioGid">;

export async function openProcessIo(
  paths: StdioPaths,
  owner: Owner,
  options: PipeOptions,
): Promise<ProcessIo> {
  const { source, sinks } = await openEnds(paths, owner);
  try {
    if (paths.terminal) {
      const { openConsoleIo } = await import("./console.js");
      return await openConsoleIo(source, sinks);
    }
    const wanted = [source !== undefined, sinks?.stdout !== undefined, sinks?.stderr !== undefined] as const;
    return await PipedIo.open(wanted, source, sinks, pipeOwner(options));
  } catch (error) {
    await closeEnds(source, sinks);
    throw error;
  }
}

/** @throws ShimError for a terminal: CRIU cannot move one */
export async function openMigratedIo(
  paths: StdioPaths,
  owner: Owner,
  options: PipeOptions,
): Promise<MigratedIo> {
  if (paths.terminal)
    throw refused("a container with a terminal cannot be migrated", "run it without a terminal");
  const { source, sinks } = await openEnds(paths, owner);
  const { MigratedIo } = await import("./migrated.js");
  return new MigratedIo(source, sinks, pipeOwner(options));
}

async function openEnds(
  paths: StdioPaths,
  owner: Owner,
): Promise<{ source: Source | undefined; sinks: Sinks | undefined }> {
  mustHaveDescriptors();
  const source = paths.stdin === "" ? undefined : await openFifoSource(fifoPath(paths.stdin));
  if (paths.stdout === "" && paths.stderr === "") return { source, sinks: undefined };
  try {
    return { source, sinks: await openSinks(paths, owner) };
  } catch (error) {
    source?.close();
    throw error;
  }
}

async function closeEnds(source: Source | undefined, sinks: Sinks | undefined): Promise<void> {
  source?.close();
  await sinks?.close();
}

function pipeOwner(options: PipeOptions): { uid: number; gid: number } {
  return { uid: options.ioUid, gid: options.ioGid };
}
