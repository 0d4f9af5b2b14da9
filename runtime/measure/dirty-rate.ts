/** What looks at a container's memory tell of how it would move. No clock, no IO. */
import { estimate, type PastSwitchover, total, type Weight } from "../migration/convergence/costs.js";
import { DirtyModel, type DirtySample } from "../migration/convergence/dirty-model.js";
import { type Outcome, simulate } from "../migration/convergence/simulate.js";

/** One look after the first. */
export interface Sample extends DirtySample {
  /** Different bytes written since the first look, and how long ago that was. */
  readonly writtenBytes: number;
  readonly sinceFirstMs: number;
}

export interface Rates {
  /** Bytes a second, of looks about a second apart. */
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  /** Different bytes written altogether. */
  readonly writtenBytes: number;
  /** The dirty set grows with time to this power. */
  readonly exponent: number;
}

export interface Question {
  readonly targetMs: number;
  /** Bytes a second. */
  readonly throughput: number;
  readonly weight: Weight;
  readonly history: readonly PastSwitchover[];
}

/** Shorter looks show the hot set, not the rate. */
const LONG_MS = 700;
const MAX_ROUNDS = 1000;
const MAX_MS = 300_000;

export function ratesOf(samples: readonly Sample[]): Rates {
  const long = samples.filter((one) => one.ms >= LONG_MS);
  const rates = (long.length > 0 ? long : samples)
    .map((one) => (one.bytes / one.ms) * 1000)
    .sort((a, b) => a - b);
  return {
    median: rates[Math.floor(rates.length / 2)] ?? 0,
    lowest: rates[0] ?? 0,
    highest: rates.at(-1) ?? 0,
    writtenBytes: samples.at(-1)?.writtenBytes ?? 0,
    exponent: modelOf(samples).exponent,
  };
}

/** What a migration by way of such a link would come to. */
export function foresee(samples: readonly Sample[], memoryBytes: number, question: Question) {
  const costs = estimate(question.weight, { peer: "", strategy: "pipelined" }, question.history);
  const model = modelOf(samples);
  const writer = {
    memoryBytes,
    dirtied: (fromMs: number, toMs: number, share: number) =>
      Math.min(memoryBytes, model.after((toMs - fromMs) * share)),
  };
  const options = { targetMs: question.targetMs, maxRounds: MAX_ROUNDS, maxMs: MAX_MS };
  const outcome: Outcome = simulate(
    writer,
    { throughput: question.throughput, costs },
    { ...options, bandwidth: 0, autoConverge: false, stageAfter: 0 },
  );
  return { outcome, fixedMs: total(costs) };
}

/** What was written since the first look counts as one long look more. */
function modelOf(samples: readonly Sample[]): DirtyModel {
  const model = new DirtyModel();
  const last = samples.at(-1);
  if (last && last.sinceFirstMs > last.ms) model.add({ ms: last.sinceFirstMs, bytes: last.writtenBytes });
  for (const sample of samples) model.add(sample);
  return model;
}
