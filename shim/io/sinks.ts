/** Chooses by the scheme of stdout where output goes. */
import { statSync } from "node:fs";
import { ShimError } from "../errors.js";
import { openFifoSink } from "./fifo.js";
import type { Sink, Sinks, StdioPaths } from "./types.js";

export interface Owner {
  readonly namespace: string;
  /** The container's id (the exec's id of an exec), for logging binaries. */
  readonly id: string;
}

/** @throws ShimError INVALID_ARGUMENT for a scheme that is not fifo, file, binary or binary-v2 */
export async function openSinks(paths: StdioPaths, owner: Owner): Promise<Sinks> {
  const scheme = schemeOf(paths.stdout);
  switch (scheme) {
    case "fifo":
      return openFifoSinks(paths);
    case "file":
      return openFileSinks(new URL(paths.stdout));
    case "binary":
    case "binary-v2": {
      const { binaryTarget, openBinarySinks } = await import("./binary.js");
      return openBinarySinks(binaryTarget(new URL(paths.stdout)), owner.namespace, owner.id);
    }
    default:
      throw new ShimError(
        "INVALID_ARGUMENT",
        `unknown stdio scheme ${scheme}`,
        "use a fifo, file://, binary:// or binary-v2://",
      );
  }
}

export function schemeOf(uri: string): string {
  return /^([a-z][a-z0-9+.-]*):/i.exec(uri)?.[1]?.toLowerCase() ?? "fifo";
}

/** The path of a fifo, which may be given as a URI. */
export function fifoPath(uri: string): string {
  return uri.startsWith("fifo://") ? decodeURIComponent(new URL(uri).pathname) : uri;
}

async function openFifoSinks(paths: StdioPaths): Promise<Sinks> {
  const stdout = paths.stdout === "" ? undefined : await openPathSink(fifoPath(paths.stdout));
  try {
    const separate = paths.stderr !== "" && !paths.terminal;
    return together(stdout, separate ? await openPathSink(fifoPath(paths.stderr)) : undefined);
  } catch (error) {
    stdout?.close();
    throw error;
  }
}

/** Clients may as well name a file that is there. */
async function openPathSink(path: string): Promise<Sink> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return openFifoSink(path);
  const { openFileSink } = await import("./file.js");
  return openFileSink(path);
}

async function openFileSinks(uri: URL): Promise<Sinks> {
  const path = decodeURIComponent(uri.pathname);
  const { openFileSink } = await import("./file.js");
  return together(await openFileSink(path), await openFileSink(path));
}

function together(stdout: Sink | undefined, stderr: Sink | undefined): Sinks {
  return {
    stdout,
    stderr,
    close: async () => {
      stdout?.close();
      stderr?.close();
    },
  };
}
