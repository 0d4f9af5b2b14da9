/**
 * Finds what has changed inside of files since they were sent last. It keeps a check sum of every block that it has sent; of
 * what tar sends it knows nothing, because a file may change between tar's look and ours. So a file is sent whole twice.
 *
 * The sum is GMAC under a key of its own that nobody learns, three times as fast as SHA-256: two blocks have the same one with
 * a probability of at most 2^-116, whatever they are, as long as they were not chosen with knowledge of the key.
 */
import { createCipheriv, randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { hasAttributes } from "#addon";
import { openFileInside } from "./inside.js";
import { BLOCK, blockFrame, END, fileFrame } from "./patch-format.js";

/** More files than that are tar's, which is faster with many small ones. */
const MAX_FILES = 1000;
const READ = 16 * BLOCK;
const STAT_BLOCK = 512;
const SUM = 16;
const ZERO_BLOCK = Buffer.alloc(BLOCK);
const ZERO_SUM = Buffer.alloc(SUM);
const CIPHER = "aes-128-gcm";
/** Sums are only compared, never told: that all have the same one gives nothing away. */
const NONCE = Buffer.alloc(12);

export class PatchMaker {
  /** By path, a check sum for each block that the other side has. */
  private readonly sent = new Map<string, Buffer>();
  private readonly key = randomBytes(16);

  /**
   * Yields the patches of these files.
   * @param left gets the paths that tar has to send, whole: what is no plain file any more, and what has other names, extended attributes or many holes
   */
  async *make(root: string, paths: readonly string[], left: string[]): AsyncGenerator<Buffer> {
    for (const [index, path] of paths.entries()) {
      const file = index < MAX_FILES ? await opened(root, path) : undefined;
      try {
        const stats = await file?.stat();
        if (file && stats && isPatchable(file, stats)) yield* this.patch(path, file, stats);
        else left.push(path);
      } finally {
        await file?.close();
      }
    }
    yield END;
  }

  /** Somebody else sends the file. */
  forget(path: string): void {
    this.sent.delete(path);
  }

  private async *patch(path: string, file: FileHandle, stats: Stats): AsyncGenerator<Buffer> {
    const { size, mode, uid, gid, atimeMs, mtimeMs } = stats;
    yield fileFrame({
      path,
      size,
      mode: mode & 0o7777,
      uid,
      gid,
      accessed: atimeMs / 1000,
      modified: mtimeMs / 1000,
    });
    const before = this.sent.get(path) ?? Buffer.alloc(0);
    const sums = Buffer.alloc(SUM * Math.ceil(size / BLOCK));
    let end = 0;
    for await (const [at, data] of pieces(file, size)) {
      for (let start = 0; start < data.length; start += BLOCK) {
        const block = data.subarray(start, start + BLOCK);
        const zeros = isZero(block);
        const sum = zeros && block.length === BLOCK ? ZERO_SUM : this.sumOf(block);
        const known = before.subarray(end, end + SUM);
        end += sum.copy(sums, end);
        if (sum.equals(known)) continue;
        yield blockFrame(at + start, block.length, zeros);
        if (!zeros) yield Buffer.from(block);
      }
    }
    yield END;
    this.sent.set(path, sums.subarray(0, end));
  }

  private sumOf(block: Buffer): Buffer {
    const mac = createCipheriv(CIPHER, this.key, NONCE).setAAD(block);
    mac.final();
    return mac.getAuthTag();
  }
}

/** Reads on while the last piece is looked at, into two buffers in turn: new ones would cost as much as the reading. */
async function* pieces(file: FileHandle, size: number): AsyncGenerator<[at: number, data: Buffer]> {
  const bytes = Math.min(READ, size);
  let [buffer, other] = [Buffer.allocUnsafeSlow(bytes), Buffer.allocUnsafeSlow(bytes)];
  const from = (at: number) => readAt(file, at, buffer.subarray(0, Math.max(0, size - at)));
  let next = from(0);
  for (let at = 0; at < size; at += READ) {
    const data = await next;
    [buffer, other] = [other, buffer];
    next = from(at + READ);
    yield [at, data];
  }
}

/** Less than asked for only at the end of a file that has become shorter: its time stamp tells so the next time. */
async function readAt(file: FileHandle, at: number, buffer: Buffer): Promise<Buffer> {
  let done = 0;
  for (let got = 1; done < buffer.length && got > 0; done += got) {
    got = (await file.read(buffer, done, buffer.length - done, at + done)).bytesRead;
  }
  return buffer.subarray(0, done);
}

/** @returns undefined when it is gone, or something else by now: tar knows what to do */
async function opened(root: string, path: string): Promise<FileHandle | undefined> {
  return openFileInside(root, path, constants.O_RDONLY).catch(() => undefined);
}

/** Not with what a patch cannot bring, other names and attributes; holes are not worth reading. */
function isPatchable(file: FileHandle, { nlink, size, blocks }: Stats): boolean {
  const holes = size > READ && blocks * STAT_BLOCK < size / 2;
  return nlink === 1 && !holes && !hasAttributes(file.fd);
}

function isZero(block: Buffer): boolean {
  return block.equals(block.length === BLOCK ? ZERO_BLOCK : ZERO_BLOCK.subarray(0, block.length));
}
