/** Named pipes: how clients of containerd attach to a process. */
import { closeSync, constants, open } from "node:fs";
import { promisify } from "node:util";
import { errnoOf, ShimError } from "../errors.js";
import { sleep } from "../time.js";
import { sinkOf, sourceOf } from "./ends.js";
import type { Sink, Source } from "./types.js";

const openFd = promisify(open) as (path: string, flags: number) => Promise<number>;
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
    return sinkOf(fd, await openFifo(path, O_RDONLY | O_NONBLOCK));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Opens for reading, and holds a writing end so that a client may leave and another one come. */
export async function openFifoSource(path: string): Promise<Source> {
  const fd = await openFifo(path, O_RDONLY | O_NONBLOCK);
  try {
    return sourceOf(fd, await openFifo(path, O_WRONLY | O_NONBLOCK));
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

async function openWriter(path: string): Promise<number> {
  const deadline = Date.now() + READER_MS;
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    try {
      return await openFifo(path, O_WRONLY | O_NONBLOCK);
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

/** The number itself: a FileHandle would close its descriptor when collected as garbage. */
async function openFifo(path: string, flags: number): Promise<number> {
  try {
    return await openFd(path, flags);
  } catch (cause) {
    const remedy = "create the fifo before the task";
    throw new ShimError("INVALID_ARGUMENT", `cannot open fifo ${path}: ${errnoOf(cause)}`, remedy, cause);
  }
}
