/** Takes patches of files (patch-format.ts) in, piece by piece. They come from another host: everything is checked. */
import { constants } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import { dropAttributes } from "#addon";
import { AgentError } from "../errors.js";
import { LENGTH_BYTES } from "./difference-format.js";
import { openFileInside } from "./inside.js";
import { BLOCK, type FileHeader, fileHeader, MAX_FILE_HEADER, OFFSET_BYTES, ZEROS } from "./patch-format.js";

interface OpenFile {
  readonly header: FileHeader;
  readonly handle: FileHandle;
  /** Where the next block may begin. */
  next: number;
}

export class PatchTaker {
  private buffered: Buffer = Buffer.alloc(0);
  private file: OpenFile | undefined;

  constructor(private readonly root: string) {}

  /**
   * @returns undefined while there is more to come, else the bytes behind the last patch
   * @throws AgentError PROTOCOL, ROOTFS
   */
  async add(data: Uint8Array): Promise<Buffer | undefined> {
    this.buffered = Buffer.concat([this.buffered, data]);
    try {
      for (;;) {
        if (this.buffered.length < LENGTH_BYTES) return undefined;
        const length = this.buffered.readUInt32BE(0);
        if (this.file === undefined) {
          if (length === 0) return this.buffered.subarray(LENGTH_BYTES);
          if (!(await this.begin(length))) return undefined;
        } else if (length === 0) {
          this.take(LENGTH_BYTES);
          await this.end(this.file);
        } else if (!(await this.block(this.file, length))) {
          return undefined;
        }
      }
    } catch (error) {
      await this.close();
      if (error instanceof AgentError) throw error;
      throw new AgentError("ROOTFS", `a file could not be brought up to date: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** Closes what is open. */
  async close(): Promise<void> {
    const { file } = this;
    this.file = undefined;
    await file?.handle.close();
  }

  private take(bytes: number): Buffer {
    const taken = this.buffered.subarray(0, bytes);
    this.buffered = this.buffered.subarray(bytes);
    return taken;
  }

  private async begin(length: number): Promise<boolean> {
    if (length > MAX_FILE_HEADER) throw malformed();
    if (this.buffered.length < LENGTH_BYTES + length) return false;
    this.take(LENGTH_BYTES);
    const header = parse(this.take(length));
    const handle = await openFileInside(this.root, header.path, constants.O_RDWR);
    this.file = { header, handle, next: 0 };
    await handle.truncate(header.size);
    return true;
  }

  private async block(file: OpenFile, word: number): Promise<boolean> {
    const zeros = word >= ZEROS;
    const length = zeros ? word - ZEROS : word;
    const head = LENGTH_BYTES + OFFSET_BYTES;
    if (length > BLOCK) throw malformed();
    if (this.buffered.length < head + (zeros ? 0 : length)) return false;
    const offset = this.take(head).readBigUInt64BE(LENGTH_BYTES);
    if (offset < file.next || offset + BigInt(length) > file.header.size) throw malformed();
    const at = Number(offset);
    file.next = at + length;
    if (zeros) await clear(file.handle, at, length);
    else await writeAll(file.handle, this.take(length), at);
    return true;
  }

  private async end({ header, handle }: OpenFile): Promise<void> {
    dropAttributes(handle.fd);
    await handle.chown(header.uid, header.gid);
    await handle.chmod(header.mode);
    await handle.utimes(header.accessed, header.modified);
    await this.close();
  }
}

function malformed(cause?: unknown): AgentError {
  return new AgentError("PROTOCOL", "the changes of a file are malformed", { cause });
}

function parse(json: Buffer): FileHeader {
  try {
    return fileHeader.parse(JSON.parse(json.toString("utf8")));
  } catch (error) {
    throw malformed(error);
  }
}

async function writeAll(handle: FileHandle, data: Buffer, at: number): Promise<void> {
  for (let done = 0; done < data.length; ) {
    done += (await handle.write(data, done, data.length - done, at + done)).bytesWritten;
  }
}

/** Leaves alone what is zero already: a hole stays one. */
async function clear(handle: FileHandle, at: number, length: number): Promise<void> {
  const there = Buffer.alloc(length);
  await handle.read(there, 0, length, at);
  if (there.some((byte) => byte !== 0)) await writeAll(handle, Buffer.alloc(length), at);
}
