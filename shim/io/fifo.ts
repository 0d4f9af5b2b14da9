/** Named pipes: how clients of containerd attach to a process. */
import { closeSync, constants, openSync } from "node:fs";
import { errnoOf, ShimError } from "../errors.js";
import { sleep } from "../time.js";
import { sinkOf, sourceOf } from "./ends.js";
import type { Sink, Source } from "./types.js";

const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants;

/** A client opens its end before it asks for the task, but may be a moment behind. */
const READER_MS = 10_000;

/**
 * Opens for writing once there is a reader, so that no output is lost, then holds a reading end of its own:
 * clients may come and go, without one the process waits when the pipe is full.
 *
 * @throws ShimError when nobody opens the other end within 10 s, or the path cannot be opened
 */
export async function openFifoSink(path: string): Promise<Sink> {
  const fd = await openWriter(path);
  try {
    return sinkOf(fd, openFifo(path, O_RDONLY | O_NONBLOCK));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Opens for reading, and holds a writing end so that a client may leave and another one come. */
export async function openFifoSource(path: string): Promise<Source> {
  const fd = openFifo(path, O_RDONLY | O_NONBLOCK);
  try {
    return sourceOf(fd, openFifo(path, O_WRONLY | O_NONBLOCK));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function openWriter(path: string): Promise<number> {
  const deadline = Date.now() + READER_MS;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    try {
      return openFifo(path, O_WRONLY | O_NONBLOCK);
    } catch (error) {
      if (!(error instanceof ShimError) || errnoOf(error.cause) !== "ENXIO") throw error;
      if (Date.now() > deadline) {
        throw new ShimError(
          "UNAVAILABLE",
          `nobody reads fifo ${path}`,
          "open it for reading, or use no output",
          error,
        );
      }
    }
    await sleep(pause);
  }
}

/** At once, as with O_NONBLOCK nothing is waited for: a thread takes longer to start than this. */
function openFifo(path: string, flags: number): number {
  try {
    return openSync(path, flags);
  } catch (cause) {
    const remedy = "create the fifo before the task";
    throw new ShimError("INVALID_ARGUMENT", `cannot open fifo ${path}: ${errnoOf(cause)}`, remedy, cause);
  }
}
