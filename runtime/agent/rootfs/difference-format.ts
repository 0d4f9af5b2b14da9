/**
 * The differences of a writable layer as a stream: a length (4 bytes, big-endian), that many bytes of JSON with the paths to
 * remove, patches (patch-format.ts) where the JSON says so, then a tar archive (with extended attributes) of what to make.
 */
import { z } from "zod";
import { relativePath } from "./patch-format.js";

export const MAX_HEADER = 64 * 1024 * 1024;
export const LENGTH_BYTES = 4;

export const differenceHeader = z.object({
  removed: z.array(relativePath),
  patches: z.boolean().default(false),
});
export type DifferenceHeader = z.infer<typeof differenceHeader>;
