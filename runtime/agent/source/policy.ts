/**
 * When to stop copying and switch over.
 *
 * The downtime is made of parts that do not depend on how much is left (freeze, skeleton, restore, commit), of
 * sending what was dirtied last, and of the destination's backlog. The dirty set grows with the time since the last
 * scan but not beyond the writable working set, so a further round pays only as long as it shortens the
 * next one. (The reasoning of Clark et al., "Live Migration of Virtual Machines", NSDI '05, section 3.)
 */

/** Milliseconds that a switchover takes with nothing left to send: measured, small container, this project's lab (docs/downtime.md). */
export const FIXED_COSTS_MS = {
  freeze: 2,
  lock: 5,
  skeletonDump: 25,
  skeletonSend: 10,
  restore: 30,
  commit: 20,
} as const;
const FIXED_MS = Object.values(FIXED_COSTS_MS).reduce((sum, ms) => sum + ms, 0);

/** The rate of a round that sent less says more about fixed costs than about the link. */
const RATE_SAMPLE_BYTES = 4 * 1024 * 1024;
/** Assumed before anything was measured: 1 Gbit/s. */
const DEFAULT_THROUGHPUT = 117e6;
/** A gain below this share of the prediction does not pay for a round. */
const WORTHWHILE = 0.1;
/** That many rounds without a gain: it will not get better. */
const PATIENCE = 3;

export interface PolicyOptions {
  readonly targetMs: number;
  readonly maxRounds: number;
  /** Bytes per second that the user allows; 0: no limit. */
  readonly bandwidth: number;
}

export interface RoundSample {
  /** Page bytes that the round sent. */
  readonly bytes: number;
  readonly totalMs: number;
  /** Time from the begin of the round before to the begin of this one: in which `bytes` were dirtied. 0 in round 1. */
  readonly intervalMs: number;
  /** Bytes that the destination has received but not yet placed. */
  readonly backlogBytes: number;
}

export interface Prediction {
  /** bytes/s */
  readonly dirtyRate: number;
  readonly throughput: number;
  /** What the final round would have to send now. */
  readonly finalBytes: number;
  readonly downtimeMs: number;
  /** Until the switchover, if all goes on as it did. */
  readonly etaMs: number;
}

export type Decision =
  | { readonly kind: "round" }
  | {
      readonly kind: "switchover";
      readonly reason: "target" | "floor" | "not-converging" | "max-rounds";
      readonly detail: string;
    };

export class ConvergencePolicy {
  private rounds = 0;
  private throughput: number;
  private best = Number.POSITIVE_INFINITY;
  private withoutGain = 0;

  constructor(private readonly options: PolicyOptions) {
    this.throughput =
      options.bandwidth > 0 ? Math.min(options.bandwidth, DEFAULT_THROUGHPUT) : DEFAULT_THROUGHPUT;
  }

  /** Takes in a round that has ended. */
  after(round: RoundSample): { prediction: Prediction; decision: Decision } {
    this.rounds++;
    if (round.bytes >= RATE_SAMPLE_BYTES && round.totalMs > 0)
      this.throughput = (round.bytes / round.totalMs) * 1000;
    const prediction = this.predict(round);
    return { prediction, decision: this.decide(round, prediction) };
  }

  private predict(round: RoundSample): Prediction {
    // Round 1 sends everything that is there: it tells nothing about what is dirtied.
    const dirtyRate = this.rounds > 1 && round.intervalMs > 0 ? (round.bytes / round.intervalMs) * 1000 : 0;
    const finalBytes =
      this.rounds > 1 ? Math.min(round.bytes, (dirtyRate * round.totalMs) / 1000) : round.bytes;
    // The last pages travel while CRIU dumps the skeleton: only what takes longer than that shows.
    const sendMs = ((finalBytes + round.backlogBytes) / this.throughput) * 1000;
    const downtimeMs = FIXED_MS + Math.max(0, sendMs - FIXED_COSTS_MS.skeletonDump);
    const roundsLeft = downtimeMs <= this.options.targetMs ? 0 : 1;
    return {
      dirtyRate,
      throughput: this.throughput,
      finalBytes,
      downtimeMs,
      etaMs: roundsLeft * round.totalMs + downtimeMs,
    };
  }

  private decide(round: RoundSample, prediction: Prediction): Decision {
    if (this.rounds >= this.options.maxRounds) {
      return { kind: "switchover", reason: "max-rounds", detail: `after ${this.rounds} rounds, as asked` };
    }
    if (this.rounds < 2) return { kind: "round" };
    const { downtimeMs } = prediction;
    if (downtimeMs <= this.options.targetMs) return { kind: "switchover", reason: "target", detail: "" };
    const variableMs = downtimeMs - FIXED_MS;
    if (variableMs <= FIXED_MS * WORTHWHILE) {
      return {
        kind: "switchover",
        reason: "floor",
        detail: `the target of ${this.options.targetMs} ms is below what a switchover takes with nothing left to send`,
      };
    }
    this.withoutGain = downtimeMs < this.best * (1 - WORTHWHILE) ? 0 : this.withoutGain + 1;
    const isBest = downtimeMs <= this.best * (1 + WORTHWHILE);
    this.best = Math.min(this.best, downtimeMs);
    // Once it stopped getting better wait for a good moment, but not for ever.
    if (this.withoutGain >= PATIENCE && (isBest || this.withoutGain >= 2 * PATIENCE)) {
      const rate = (prediction.dirtyRate / 1e6).toFixed(0);
      return {
        kind: "switchover",
        reason: "not-converging",
        detail: `does not converge: ${rate} MB/s are dirtied and ${(prediction.throughput / 1e6).toFixed(0)} MB/s sent (last round ${round.bytes} bytes)`,
      };
    }
    return { kind: "round" };
  }
}
