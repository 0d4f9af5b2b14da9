import type { Random } from "./random.js";

/** The bytes, cut as a socket may cut them. */
export function pieces(random: Random, bytes: Buffer): Buffer[] {
  // Not too many for a long input.
  const longest = Math.max(random.pick([1, 3, 11, 100, 10_000] as const), bytes.length >> 10);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + random.below(longest);
    parts.push(bytes.subarray(at, at + length));
    at += length;
  }
  return parts;
}
