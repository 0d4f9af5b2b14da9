/**
 * When to stop copying and switch over: a state machine without clock and without IO, told of each round.
 *
 *   copying ──── another round would help ──▶ copying          (rounds get shorter by themselves as less is left)
 *      │  ▲
 *      │  └─ helps again, or throttled one step more
 *      ▼
 *   watching ─── quiet, or best point seen, or time is up ──▶ switchover
 *
 * A switchover is due when its predicted downtime meets the target. Otherwise one round more is worth it as long as it shortens
 * the pause; where it would not, the container is watched for a while, longer when it has shown quiet phases,
 * and then the best moment is taken, or the container throttled, if that was asked for. Rounds, time and bytes are bounded.
 * (The reasoning of Clark et al., "Live Migration of Virtual Machines", NSDI '05, section 3, with a fitted dirty set.)
 */
import type { Costs } from "./costs.js";
import { DirtyModel, evenRate } from "./dirty-model.js";
import { downtimeMs, type Prediction, pagesMs } from "./prediction.js";

export interface PolicyOptions {
  readonly targetMs: number;
  readonly maxRounds: number;
  /** Rounds may take that long altogether, ms. */
  readonly maxMs: number;
  /** Bytes per second that the user allows; 0: no limit. It does not hold in the pause. */
  readonly bandwidth: number;
  /** Whether the container may be slowed down. */
  readonly autoConverge: boolean;
  /** Until the end of this round the destination puts nothing in place. */
  readonly stageAfter: number;
}

export interface RoundSample {
  /** Page bytes that the round sent. */
  readonly bytes: number;
  readonly totalMs: number;
  /** From the begin of the round before to the begin of this one: in which `bytes` were dirtied. 0 in round 1. */
  readonly intervalMs: number;
  /** Bytes that the destination has received but not yet placed. */
  readonly backlogBytes: number;
  /** Of a switchover now, with nothing left to send. */
  readonly costs: Costs;
}

export type Reason =
  | "target"
  | "floor"
  | "quiet"
  | "not-converging"
  | "max-rounds"
  | "max-time"
  | "max-bytes";

export type Decision =
  | { readonly kind: "round"; readonly afterMs: number }
  /** Let the container have this share of the processor time that it takes by itself. */
  | { readonly kind: "throttle"; readonly share: number }
  | { readonly kind: "switchover"; readonly reason: Reason; readonly detail: string };

/** The rate of a round that sent less says more about fixed costs than about the link. */
const RATE_SAMPLE_BYTES = 4e6;
/** Assumed before anything was measured: 1 Gbit/s. */
const DEFAULT_THROUGHPUT = 117e6;
/** A round takes that long whatever it sends. */
const EMPTY_ROUND_MS = 8;
/** From the end of the last round to the look at the standing container: last files, two calls, the freeze. */
const GAP_MS = 20;
/** A round that takes less than this off the pause, or off what there is of it beyond fixed costs, does not pay. */
const WORTHWHILE = { ms: 5, share: 0.1 } as const;
/** With this much left at least, a round of so little of the time spent that leaves no more than this is taken, target or not. */
const NEARLY_FREE = { leastBytes: 1e6, timeShare: 0.02, leaves: 0.6 } as const;
/** How long a container is watched once rounds stopped helping, and how long if it has quiet phases. */
const WATCH_MS = 2_000;
const WATCH_PHASES_MS = 20_000;
/** Between rounds while watching: they shall not take all of link and processor. */
const WATCH_EVERY_MS = 200;
/** A rate that fell to less than this share of an earlier one was a quiet phase. */
const QUIET = 0.6;
const KEPT_RATES = 64;
/** A moment as good as the best one, nearly; or as a switchover with nothing left to send. */
const NEARLY_BEST = 1.15;
/** More than that many times the first round is never sent, but always this much. */
const MAX_TIMES = 20;
const ALWAYS_BYTES = 4e9;
/** Shares of its own processor time. */
const THROTTLE_STEPS = [0.7, 0.5, 0.35, 0.2, 0.1] as const;

type State = { readonly kind: "copying" } | { readonly kind: "watching"; readonly sinceMs: number };

export class ConvergencePolicy {
  readonly #model = new DirtyModel();
  #rounds = 0;
  /** Since the first round began. */
  #elapsedMs = 0;
  #sent = 0;
  #first = 0;
  #throughput: number;
  #rates: number[] = [];
  #throttled = 0;
  /** The shortest pause that was to be had so far. */
  #best = Infinity;
  #state: State = { kind: "copying" };
  /** The least that the destination had left to do, and when. */
  #backlog = { bytes: Infinity, sinceMs: 0 };

  constructor(private readonly options: PolicyOptions) {
    const { bandwidth } = options;
    this.#throughput = bandwidth > 0 ? Math.min(bandwidth, DEFAULT_THROUGHPUT) : DEFAULT_THROUGHPUT;
  }

  /** Takes in a round that has ended. */
  after(round: RoundSample): { prediction: Prediction; decision: Decision } {
    this.#rounds++;
    this.#sent += round.bytes;
    this.#elapsedMs += round.intervalMs;
    if (this.#rounds === 1) this.#first = round.bytes;
    if (round.bytes >= RATE_SAMPLE_BYTES && round.totalMs > 0)
      this.#throughput = (round.bytes / round.totalMs) * 1000;
    // Round 1 sends everything that is there: it tells nothing about what is dirtied.
    if (round.intervalMs > 0) {
      const dirtied = { ms: round.intervalMs, bytes: round.bytes };
      this.#model.add(dirtied);
      this.#rates = [...this.#rates, evenRate(dirtied)].slice(-KEPT_RATES);
    }
    const now = this.#downtime(round, round.totalMs + GAP_MS);
    const next = this.#downtime(round, this.#nextRoundMs(round) + GAP_MS);
    const prediction = this.#predict(round, now);
    return { prediction, decision: this.#decide(round, now, next) };
  }

  /** Bytes that a look `ms` after the last one would find; after one round all of it may have been written again. */
  #dirtyAfter(round: RoundSample, ms: number): number {
    return this.#model.known ? Math.min(this.#first, this.#model.after(ms)) : round.bytes;
  }

  #nextRoundMs(round: RoundSample): number {
    return EMPTY_ROUND_MS + (this.#dirtyAfter(round, round.totalMs) / this.#throughput) * 1000;
  }

  #downtime(round: RoundSample, sinceLookMs: number): number {
    const bytes = this.#dirtyAfter(round, sinceLookMs) + round.backlogBytes;
    return downtimeMs(round.costs, bytes, this.#throughput);
  }

  #predict(round: RoundSample, downtime: number): Prediction {
    const done = downtime <= this.options.targetMs;
    return {
      dirtyRate: round.intervalMs > 0 ? (round.bytes / round.intervalMs) * 1000 : 0,
      throughput: this.#throughput,
      finalBytes: this.#dirtyAfter(round, round.totalMs + GAP_MS),
      downtimeMs: downtime,
      etaMs: downtime + (done ? 0 : this.#nextRoundMs(round)),
    };
  }

  #decide(round: RoundSample, now: number, next: number): Decision {
    const { maxRounds, maxMs, targetMs } = this.options;
    if (this.#rounds >= maxRounds) return over("max-rounds", `after ${this.#rounds} rounds, as asked`);
    if (this.#elapsedMs + round.totalMs >= maxMs)
      return over("max-time", `rounds have taken ${Math.round(maxMs / 1000)} s, half of --timeout`);
    if (!this.#model.known) return again();
    if (this.#nearlyFree(round)) return again();
    if (now <= targetMs) return over("target", "");
    if (this.#rounds <= this.options.stageAfter) return again();
    if (this.#catchesUp(round)) return again(WATCH_EVERY_MS);
    if (this.#sent >= Math.max(ALWAYS_BYTES, MAX_TIMES * this.#first))
      return over("max-bytes", `does not converge: ${MAX_TIMES} times its memory was sent`);
    const least = downtimeMs(round.costs, 0, this.#throughput);
    if (
      this.#hidden(round) ||
      now - least < WORTHWHILE.ms ||
      (least > targetMs && now <= NEARLY_BEST * least)
    )
      return over(
        "floor",
        `the target is ${targetMs} ms, and ${Math.round(least)} of ${Math.round(now)} ms are those of a switchover with nothing left to send`,
      );
    this.#best = Math.min(this.#best, now);
    if (this.#helps(round, next)) {
      this.#state = { kind: "copying" };
      return again();
    }
    return this.#watch(round, now);
  }

  /**
   * Whether a round more takes no time to speak of and leaves much less for the pause. It also checks the prediction, which after
   * a long first round is made from how much was written in seconds for what will be written in milliseconds.
   */
  #nearlyFree(round: RoundSample): boolean {
    const { leastBytes, timeShare, leaves } = NEARLY_FREE;
    const left = this.#dirtyAfter(round, round.totalMs + GAP_MS);
    const roundMs = this.#nextRoundMs(round);
    return (
      left >= leastBytes &&
      roundMs <= timeShare * this.#elapsedMs &&
      this.#dirtyAfter(round, roundMs + GAP_MS) <= leaves * left
    );
  }

  /** Whether the destination still puts in place what it has received, and gets on with it: that is worth waiting for. */
  #catchesUp({ backlogBytes }: RoundSample): boolean {
    if ((backlogBytes / this.#throughput) * 1000 < WORTHWHILE.ms) return false;
    if (backlogBytes < this.#backlog.bytes) this.#backlog = { bytes: backlogBytes, sinceMs: this.#elapsedMs };
    return this.#elapsedMs - this.#backlog.sinceMs < WATCH_MS;
  }

  /** Whether a switchover after one round more would be better than any so far. */
  #helps(round: RoundSample, next: number): boolean {
    const variable = this.#best - downtimeMs(round.costs, 0, Infinity);
    return this.#best - next >= Math.max(WORTHWHILE.ms, WORTHWHILE.share * variable);
  }

  /** Whether what is left travels in less time than CRIU needs for its dump anyway. */
  #hidden(round: RoundSample): boolean {
    const bytes = this.#dirtyAfter(round, round.totalMs + GAP_MS) + round.backlogBytes;
    return pagesMs(bytes, this.#throughput) <= round.costs.dump / 2;
  }

  #watch(round: RoundSample, now: number): Decision {
    if (this.#state.kind === "copying") {
      this.#state = { kind: "watching", sinceMs: this.#elapsedMs };
      return again(WATCH_EVERY_MS);
    }
    const phases = hasQuietPhases(this.#rates);
    const watched = this.#elapsedMs - this.#state.sinceMs;
    // The phase that is quiet now: it will hardly get better.
    if (phases && now <= this.#best * NEARLY_BEST && isLow(this.#rates))
      return over("quiet", `a quiet phase of a container that does not converge (${this.#rateText(round)})`);
    if (watched < (phases ? WATCH_PHASES_MS : WATCH_MS)) return again(WATCH_EVERY_MS);
    return this.#throttle() ?? over("not-converging", `does not converge: ${this.#rateText(round)}`);
  }

  #throttle(): Decision | undefined {
    const share = THROTTLE_STEPS[this.#throttled];
    if (!this.options.autoConverge || share === undefined) return undefined;
    this.#throttled++;
    this.#rates = [];
    this.#best = Infinity;
    this.#state = { kind: "copying" };
    return { kind: "throttle", share };
  }

  #rateText(round: RoundSample): string {
    const dirty = round.intervalMs > 0 ? (round.bytes / round.intervalMs) * 1000 : 0;
    const mb = (rate: number) => `${(rate / 1e6).toFixed(0)} MB/s`;
    return `${mb(dirty)} are dirtied and ${mb(this.#throughput)} sent`;
  }
}

function again(afterMs = 0): Decision {
  return { kind: "round", afterMs };
}

function over(reason: Reason, detail: string): Decision {
  return { kind: "switchover", reason, detail };
}

/** Whether a rate was ever followed by one that is much lower: what only grows has no phases. */
function hasQuietPhases(rates: readonly number[]): boolean {
  let highest = 0;
  for (const rate of rates) {
    if (rate < QUIET * highest) return true;
    highest = Math.max(highest, rate);
  }
  return false;
}

function isLow(rates: readonly number[]): boolean {
  return (rates.at(-1) ?? 0) <= QUIET * Math.max(...rates);
}
