/**
 * When to stop copying and freeze. The last dirty pages are read while CRIU dumps the skeleton, so a dirty set that is read in
 * less time than that costs nothing; and copying on pays only as long as each round leaves less than the one before.
 */

export interface RoundSample {
  /** Page bytes that the round copied. */
  readonly bytes: number;
  readonly totalMs: number;
  /** From the begin of the round before to the begin of this one; 0 in the first. */
  readonly intervalMs: number;
}

export type Decision =
  | { readonly kind: "round" }
  | { readonly kind: "freeze"; readonly reason: "small" | "no-gain" | "max-rounds" };

/** Read in some 10 ms, in a dump that takes 50 and more. */
export const SMALL_BYTES = 32 * 1024 * 1024;
export const MAX_ROUNDS = 8;
/** A round that leaves more than this share of what the one before left does not pay. */
const WORTHWHILE = 0.8;

/** What is to be done after the rounds so far. */
export function decide(rounds: readonly RoundSample[]): Decision {
  const last = rounds.at(-1);
  if (!last) return { kind: "round" };
  if (dirtyAfter(last) <= SMALL_BYTES) return { kind: "freeze", reason: "small" };
  if (rounds.length >= MAX_ROUNDS) return { kind: "freeze", reason: "max-rounds" };
  const before = rounds.at(-2);
  // The first round copies all that is there, which tells nothing of what is written.
  const gains = rounds.length < 3 || !before || dirtyAfter(last) < dirtyAfter(before) * WORTHWHILE;
  return gains ? { kind: "round" } : { kind: "freeze", reason: "no-gain" };
}

/** Bytes that were written while a round ran, as far as is known: never more than it copied itself. */
export function dirtyAfter(round: RoundSample): number {
  if (round.intervalMs <= 0) return round.bytes;
  return Math.min(round.bytes, (round.bytes / round.intervalMs) * round.totalMs);
}
