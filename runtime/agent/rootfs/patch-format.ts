/**
 * Changed parts of files that the other side has, in the stream of a difference:
 *
 *   patches = { file } length(0)
 *   file    = length JSON { block } length(0)
 *   block   = length offset(8 bytes) data, or length|ZEROS offset
 *
 * Lengths are of 4 bytes; all numbers are big-endian. A file's blocks come in the order of their offsets.
 */
import { z } from "zod";
import { jsonFrame, LENGTH_BYTES, relativePath } from "./difference-format.js";

/** Bytes; the last of a file may be shorter. Smaller ones cost more to find than they spare to send. */
export const BLOCK = 32 * 1024;
/** In a length: so many bytes are zero, and do not follow. */
export const ZEROS = 0x8000_0000;
export const OFFSET_BYTES = 8;
export const MAX_FILE_HEADER = 64 * 1024;

const id = z.number().int().min(0).max(0xffff_ffff);

export const fileHeader = z.object({
  path: relativePath,
  size: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  mode: z.number().int().min(0).max(0o7777),
  uid: id,
  gid: id,
  /** Seconds since 1970, to the microsecond. */
  accessed: z.number().finite(),
  modified: z.number().finite(),
});
export type FileHeader = z.infer<typeof fileHeader>;

/** Behind a file's blocks, and behind the last file. */
export const END = Buffer.alloc(LENGTH_BYTES);

export function fileFrame(header: FileHeader): Buffer {
  return jsonFrame(header);
}

/** What goes before a block's data. */
export function blockFrame(offset: number, length: number, zeros: boolean): Buffer {
  const buffer = Buffer.alloc(LENGTH_BYTES + OFFSET_BYTES);
  buffer.writeUInt32BE(zeros ? length + ZEROS : length);
  buffer.writeBigUInt64BE(BigInt(offset), LENGTH_BYTES);
  return buffer;
}
