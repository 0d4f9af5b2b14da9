/** Containers that write memory by a known law, or as one was recorded. */
import type { Writer } from "../../../runtime/migration/convergence/simulate.js";

export const MB = 1e6;

/** Bytes a second at a time, ms. */
type Rate = (atMs: number) => number;

const STEP_MS = 10;

/** Writes fall at random on `hot` bytes: the same page is hit again the more often, the longer one waits. */
export function writer(memoryBytes: number, hot: number, rate: Rate): Writer {
  return {
    memoryBytes,
    dirtied(fromMs, toMs, share) {
      let written = 0;
      for (let at = fromMs; at < toMs; at += STEP_MS)
        written += (rate(at) * share * Math.min(STEP_MS, toMs - at)) / 1000;
      return hot * (1 - Math.exp(-written / hot));
    },
  };
}

export const steady = (memoryBytes: number, hot: number, rate: number): Writer =>
  writer(memoryBytes, hot, () => rate);

/** High for `highMs`, then low for `lowMs`, and so on. */
export const phased = (
  memoryBytes: number,
  hot: number,
  high: number,
  highMs: number,
  lowMs: number,
): Writer => writer(memoryBytes, hot, (at) => (at % (highMs + lowMs) < highMs ? high : high / 50));

export const growing = (memoryBytes: number, hot: number, first: number, perSecond: number): Writer =>
  writer(memoryBytes, hot, (at) => first + (perSecond * at) / 1000);

/** Different bytes found dirty by a look so many ms after the one before, linear in between. */
export function recorded(memoryBytes: number, looks: readonly (readonly [number, number])[]): Writer {
  const after = (ms: number): number => {
    let [beforeMs, beforeBytes] = [0, 0];
    for (const [atMs, bytes] of looks) {
      if (ms <= atMs) return beforeBytes + ((bytes - beforeBytes) * (ms - beforeMs)) / (atMs - beforeMs);
      [beforeMs, beforeBytes] = [atMs, bytes];
    }
    return beforeBytes;
  };
  return { memoryBytes, dirtied: (fromMs, toMs, share) => after((toMs - fromMs) * share) };
}
