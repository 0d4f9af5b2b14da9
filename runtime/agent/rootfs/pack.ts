/** Makes the stream of a difference (difference-format.ts). */
import { AgentError } from "../errors.js";
import { type DifferenceHeader, jsonFrame, LENGTH_BYTES, MAX_HEADER } from "./difference-format.js";
import type { PatchMaker } from "./patch-maker.js";
import type { Difference } from "./scan.js";
import { ended, tar } from "./tar.js";

/** Bytes in one message. */
const PIECE = 256 * 1024;
/** tar's "some files changed while being read": the next difference has them again. */
const TAR_CHANGED = 1;

/**
 * Yields the stream of a difference in bounded pieces.
 * @param patches of what the other side has already only the changed parts are sent; undefined: all is sent whole
 * @throws AgentError ROOTFS
 */
export async function* pack(
  merged: string,
  difference: Difference,
  patches?: PatchMaker,
): AsyncGenerator<Uint8Array> {
  const { removed, changed, rewritten } = difference;
  yield* inPieces(headerOf({ removed: [...removed], patches: patches !== undefined }));
  if (patches === undefined) return yield* archived(merged, changed);
  const left: string[] = [];
  yield* gathered(patches.make(merged, rewritten, left));
  const patched = new Set(rewritten);
  for (const path of left) patched.delete(path);
  const whole = changed.filter((path) => !patched.has(path));
  for (const path of whole) patches.forget(path);
  yield* archived(merged, whole);
}

function headerOf(header: DifferenceHeader): Buffer {
  const frame = jsonFrame(header);
  if (frame.length > LENGTH_BYTES + MAX_HEADER)
    throw new AgentError("ROOTFS", "the container has deleted too many files");
  return frame;
}

async function* archived(merged: string, paths: readonly string[]): AsyncGenerator<Uint8Array> {
  if (paths.length === 0) return;
  const options = ["--create", "--file=-", "--format=posix", "--numeric-owner", "--sparse", "--no-recursion"];
  const child = tar(merged, [
    ...options,
    "--xattrs",
    "--xattrs-include=*",
    "--null",
    "--verbatim-files-from",
    "--files-from=-",
  ]);
  const end = ended(child);
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(paths.map((path) => `./${path}\0`).join(""));
  let complete = false;
  try {
    if (child.stdout) for await (const data of child.stdout) yield* inPieces(data as Buffer);
    complete = true;
  } finally {
    // Only when the reader has gone: a tar that has said everything may still be about to exit.
    if (!complete) child.kill("SIGKILL");
  }
  const { status, stderr } = await end;
  // What vanishes or becomes a link while the container runs is no error: the next difference says so.
  const harmless = /No such file|Too many levels of symbolic links|Exiting with failure|^$/;
  const vanished = status === 2 && stderr.split("\n").every((line) => harmless.test(line));
  if (status !== 0 && status !== TAR_CHANGED && !vanished) {
    throw new AgentError("ROOTFS", `tar could not read the writable layer: ${stderr.trim()}`);
  }
}

/** Joins what is small. */
async function* gathered(parts: AsyncIterable<Buffer>): AsyncGenerator<Uint8Array> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  for await (const part of parts) {
    waiting.push(part);
    bytes += part.length;
    if (bytes < PIECE) continue;
    yield* inPieces(Buffer.concat(waiting));
    waiting = [];
    bytes = 0;
  }
  yield* inPieces(Buffer.concat(waiting));
}

function* inPieces(data: Buffer): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += PIECE) yield data.subarray(at, at + PIECE);
}
