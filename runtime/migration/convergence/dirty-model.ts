/**
 * How much memory is dirty, some time after the last look.
 *
 * Writes hit the same pages again and again, so the dirty set grows more slowly than time: D(t) = D₀ (t / t₀)ᵇ with b between
 * 0 (a small hot set, soon all of it dirty) and 1 (every write hits another page). The exponent is fitted over the rounds
 * (least squares of the logarithms, older rounds count less); the curve passes through the newest round, which knows best how
 * busy the container is at present.
 */

export interface DirtySample {
  /** Between two looks. */
  readonly ms: number;
  /** Found dirty by the second. */
  readonly bytes: number;
}

/** What Redis shows between 50 ms and 5 s: 0.5 to 0.7. */
const USUAL_EXPONENT = 0.65;
/** How much the usual exponent counts: as much as two rounds whose times differ by a factor of 1.5. */
const CONFIDENCE = 0.08;
const MIN_EXPONENT = 0.1;
const MAX_EXPONENT = 1;
/** Weight of a round beside that of the next. */
const FORGET = 0.7;
const KEPT = 16;
/** There is no logarithm of nothing. */
const ONE_PAGE = 4096;

export class DirtyModel {
  #samples: readonly DirtySample[] = [];
  #exponent = USUAL_EXPONENT;

  add(sample: DirtySample): void {
    if (!(sample.ms > 0)) return;
    this.#samples = [...this.#samples, sample].slice(-KEPT);
    this.#exponent = fitted(this.#samples);
  }

  get known(): boolean {
    return this.#samples.length > 0;
  }

  get exponent(): number {
    return this.#exponent;
  }

  /** Bytes that are dirty `ms` after a look; 0 as long as nothing is known. */
  after(ms: number): number {
    const newest = this.#samples.at(-1);
    if (!newest || ms <= 0) return 0;
    return newest.bytes * (ms / newest.ms) ** this.#exponent;
  }
}

/** Bytes a second, made comparable over looks of different length: as if each had been one second apart. */
export function evenRate(sample: DirtySample): number {
  return sample.bytes * (1000 / sample.ms) ** USUAL_EXPONENT;
}

function fitted(samples: readonly DirtySample[]): number {
  const points = samples.map(({ ms, bytes }, i) => ({
    x: Math.log(ms),
    y: Math.log(Math.max(ONE_PAGE, bytes)),
    weight: FORGET ** (samples.length - 1 - i),
  }));
  const total = points.reduce((sum, { weight }) => sum + weight, 0);
  const mean = (of: "x" | "y") => points.reduce((sum, one) => sum + one.weight * one[of], 0) / total;
  const [x, y] = [mean("x"), mean("y")];
  let spread = 0;
  let slope = 0;
  for (const point of points) {
    spread += point.weight * (point.x - x) ** 2;
    slope += point.weight * (point.x - x) * (point.y - y);
  }
  const exponent = (slope + CONFIDENCE * USUAL_EXPONENT) / (spread + CONFIDENCE);
  return Math.min(MAX_EXPONENT, Math.max(MIN_EXPONENT, exponent));
}
