/** Random numbers that can be had again: ROBUST_SEED, which a failing test names. */
export const SEED = Number(process.env.ROBUST_SEED ?? Date.now() % 1_000_000);

/** Numbers from 0 to 1, the same for the same seed (a linear congruence, as good as an instant needs). */
export function seeded(seed: number): () => number {
  let state = BigInt(seed) + 1n;
  return () => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffff_ffff_ffff_ffffn;
    return Number(state >> 33n) / 2 ** 31;
  };
}
