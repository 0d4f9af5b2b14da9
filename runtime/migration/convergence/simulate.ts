/** What the policy would make of a container, without one: time is counted, not spent. */
import type { Costs } from "./costs.js";
import { ConvergencePolicy, type Decision, type PolicyOptions } from "./policy.js";
import { downtimeMs, type Prediction } from "./prediction.js";

/** A container, as its memory is written. */
export interface Writer {
  readonly memoryBytes: number;
  /** Different bytes that are written between two times, ms since the first round, with `share` of its processor time. */
  dirtied(fromMs: number, toMs: number, share: number): number;
}

export interface Surroundings {
  /** Bytes a second. */
  readonly throughput: number;
  readonly costs: Costs;
}

export interface Outcome {
  readonly rounds: number;
  /** Until the freeze. */
  readonly totalMs: number;
  readonly sentBytes: number;
  readonly predicted: Prediction;
  /** What the pause comes to. */
  readonly downtimeMs: number;
  /** Of its processor time that the container had in the end. */
  readonly share: number;
  readonly decision: Extract<Decision, { kind: "switchover" }>;
}

/** A round takes that long besides sending. */
const ROUND_MS = 3;
const STOP_MS = 15;

/** @throws when the policy does not come to an end */
export function simulate(
  writer: Writer,
  { throughput, costs }: Surroundings,
  options: PolicyOptions,
): Outcome {
  const policy = new ConvergencePolicy(options);
  const link = options.bandwidth > 0 ? Math.min(options.bandwidth, throughput) : throughput;
  let share = 1;
  let sentBytes = 0;
  let bytes = writer.memoryBytes;
  let at = 0;
  let intervalMs = 0;
  for (let rounds = 1; rounds <= options.maxRounds; rounds++) {
    const totalMs = ROUND_MS + (bytes / link) * 1000;
    sentBytes += bytes;
    const { prediction, decision } = policy.after({ bytes, totalMs, intervalMs, backlogBytes: 0, costs });
    if (decision.kind === "switchover") {
      const frozenAt = at + totalMs + STOP_MS;
      const left = writer.dirtied(at, frozenAt, share);
      return {
        ...{ rounds, totalMs: frozenAt, sentBytes, predicted: prediction, share, decision },
        downtimeMs: downtimeMs(costs, left, throughput),
      };
    }
    if (decision.kind === "throttle") share = decision.share;
    intervalMs = totalMs + (decision.kind === "round" ? decision.afterMs : 0);
    bytes = writer.dirtied(at, at + intervalMs, share);
    at += intervalMs;
  }
  throw new Error(`the policy went on after ${options.maxRounds} rounds`);
}
