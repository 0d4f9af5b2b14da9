/**
 * Which record a request is for. Zipfian numbers by the method of Gray et al., "Quickly Generating Billion-Record Synthetic
 * Databases" (SIGMOD '94): rank i has a share of i^-θ, found by inverting an approximation of the distribution, without a table.
 */
import { mix, type Random } from "./random.js";

/** That of YCSB's core workloads. */
export const THETA = 0.99;

/** Sum of i^-θ for i from `from` + 1 to `to`. */
function zeta(from: number, to: number, theta: number): number {
  let sum = 0;
  for (let i = from + 1; i <= to; i++) sum += i ** -theta;
  return sum;
}

export class Zipfian {
  private readonly zeta2: number;
  private readonly alpha: number;
  private zetaN: number;
  private eta = 0;

  /** Of ranks 0 (the most frequent) to count - 1. @param theta above 0 and below 1 */
  constructor(
    private count: number,
    private readonly random: Random,
    private readonly theta = THETA,
  ) {
    this.zeta2 = zeta(0, 2, theta);
    this.alpha = 1 / (1 - theta);
    this.zetaN = zeta(0, count, theta);
    this.settle();
  }

  /** There are more of them now. */
  grow(count: number): void {
    if (count <= this.count) return;
    this.zetaN += zeta(this.count, count, this.theta);
    this.count = count;
    this.settle();
  }

  next(): number {
    const u = this.random();
    const share = u * this.zetaN;
    if (share < 1) return 0;
    if (share < 1 + 0.5 ** this.theta) return Math.min(1, this.count - 1);
    const rank = Math.floor(this.count * (this.eta * u - this.eta + 1) ** this.alpha);
    return Math.min(rank, this.count - 1);
  }

  /** The share of requests that rank i gets. */
  share(i: number): number {
    return (i + 1) ** -this.theta / this.zetaN;
  }

  private settle(): void {
    this.eta = (1 - (2 / this.count) ** (1 - this.theta)) / (1 - this.zeta2 / this.zetaN);
  }
}

/** Zipfian, with the favourites strewn over all records instead of being the first. */
export class Scrambled {
  private readonly zipfian: Zipfian;

  constructor(
    private readonly count: number,
    random: Random,
  ) {
    this.zipfian = new Zipfian(count, random);
  }

  next(): number {
    return (mix(this.zipfian.next()) >>> 0) % this.count;
  }
}

/** Zipfian from the newest record backwards. */
export class Latest {
  private readonly zipfian: Zipfian;

  constructor(count: number, random: Random) {
    this.zipfian = new Zipfian(count, random);
  }

  /** @param count records that there are now */
  next(count: number): number {
    this.zipfian.grow(count);
    return count - 1 - this.zipfian.next();
  }
}
