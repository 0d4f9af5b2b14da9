/**
 * The differences of a writable layer as a stream: JSON with the paths to remove, patches (patch-format.ts) where the JSON says
 * so, then a tar archive (with extended attributes) of what to make. JSON has its length before it: 4 bytes, big-endian.
 */
import { z } from "zod";

export const MAX_HEADER = 64 * 1024 * 1024;
export const LENGTH_BYTES = 4;

export const relativePath = z
  .string()
  .min(1)
  .max(4096)
  .refine(
    (path) =>
      !path.includes("\0") && path.split("/").every((part) => part !== "" && part !== "." && part !== ".."),
  );

export const differenceHeader = z.object({
  removed: z.array(relativePath),
  patches: z.boolean().default(false),
});
export type DifferenceHeader = z.infer<typeof differenceHeader>;

/** JSON with its length before it. */
export function jsonFrame(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]);
}
