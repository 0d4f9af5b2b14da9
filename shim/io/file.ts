/** file:// output: both streams appended to one file. */
import { open } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, isAbsolute } from "node:path";
import { promisify } from "node:util";
import { ShimError } from "../errors.js";
import { sinkOf } from "./ends.js";
import type { Sink } from "./types.js";

const openFd = promisify(open) as (path: string, flags: string, mode: number) => Promise<number>;

/** @throws ShimError for a path that is not absolute, or cannot be opened */
export async function openFileSink(path: string): Promise<Sink> {
  if (!isAbsolute(path)) {
    throw new ShimError(
      "INVALID_ARGUMENT",
      `file output needs an absolute path, got ${path}`,
      "use file:///path",
    );
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  return sinkOf(await openFd(path, "a", 0o644));
}
