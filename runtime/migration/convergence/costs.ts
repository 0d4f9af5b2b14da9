/**
 * What a switchover costs with nothing left to send: estimated before the pause from what can be counted then, and from what
 * earlier switchovers of this host have shown.
 *
 * A stage's first guess is linear in what it depends on (`usual`). How far such guesses were off before corrects it: the
 * weighted median of real over guessed, in which switchovers of similar containers and newer ones count more. A single
 * odd one therefore changes little, and on a host that has seen none the guess stands.
 */

/** What there is to freeze, dump and restore. */
export interface Weight {
  readonly processes: number;
  /** Of all processes. */
  readonly mappings: number;
  /** The last look for written pages walks them, beside the dump; without a BPF iterator CRIU's `smaps` does, too. */
  readonly pageTableBytes: number;
  /** Memory that the engine leaves to CRIU. */
  readonly skeletonBytes: number;
  /** Memory that the engine sends. */
  readonly memoryBytes: number;
  /** Between the agents. */
  readonly roundTripMs: number;
}

/**
 * The chain of the pause; each begins when the one before has ended. `ready` is what lies between the restore's end and the
 * word of it at the source, whatever that is.
 */
export const STAGES = ["stop", "snapshot", "dump", "send", "restore", "ready", "commit"] as const;
export type Stage = (typeof STAGES)[number];
/** Milliseconds. */
export type Costs = Readonly<Record<Stage, number>>;

export interface PastSwitchover {
  readonly peer: string;
  readonly strategy: string;
  readonly weight: Weight;
  readonly costs: Costs;
}

const MB = 1e6;
/** Beyond these an earlier switchover tells of an accident rather than of the host. */
const FACTORS = { least: 0.25, most: 8 } as const;
/** What the guess counts beside one earlier switchover of the same kind. */
const GUESS_WEIGHT = 1;
const FORGET = 0.93;
const OTHER_PEER = 0.3;

/** Milliseconds, measured in this project's lab on two cores (docs/downtime.md). */
function usual(weight: Weight, strategy: string): Costs {
  const { processes, mappings, roundTripMs } = weight;
  const tables = weight.pageTableBytes / MB;
  const skeleton = weight.skeletonBytes / MB;
  // Otherwise CRIU reads it all in the pause.
  const read = strategy === "pipelined" ? 0 : weight.memoryBytes / MB / 1.5;
  return {
    stop: 5.5 + 0.05 * processes,
    snapshot: 2.3 + 0.3 * processes,
    dump: 9 + 2 * processes + 0.03 * mappings + tables + 0.35 * skeleton,
    send: 1 + 0.8 * skeleton + roundTripMs,
    restore: 5 + 2 * processes + 0.03 * mappings + 0.6 * skeleton + read,
    ready: 8 + roundTripMs / 2,
    commit: 20 + 1.5 * roundTripMs,
  };
}

/** @param history the newest last */
export function estimate(
  weight: Weight,
  where: { readonly peer: string; readonly strategy: string },
  history: readonly PastSwitchover[],
): Costs {
  const guess = usual(weight, where.strategy);
  const past = history.filter((one) => one.strategy === where.strategy);
  const known = past.map((one, i) => ({
    costs: one.costs,
    guess: usual(one.weight, one.strategy),
    counts:
      likeness(weight, one.weight) *
      FORGET ** (past.length - 1 - i) *
      (one.peer === where.peer ? 1 : OTHER_PEER),
  }));
  const factorOf = (stage: Stage) =>
    weightedMedian([
      { value: 1, weight: GUESS_WEIGHT },
      ...known.map((one) => ({ value: bounded(one.costs[stage] / one.guess[stage]), weight: one.counts })),
    ]);
  const entries = STAGES.map((stage) => [stage, guess[stage] * factorOf(stage)] as const);
  return Object.fromEntries(entries) as Record<Stage, number>;
}

export function total(costs: Costs): number {
  return STAGES.reduce((sum, stage) => sum + costs[stage], 0);
}

/** 1 for the same container, near 0 for one that is many times larger or smaller. */
function likeness(a: Weight, b: Weight): number {
  const apart = (x: number, y: number, unit: number) => Math.abs(Math.log((x + unit) / (y + unit)));
  return Math.exp(
    -apart(a.processes, b.processes, 1) -
      apart(a.pageTableBytes, b.pageTableBytes, 0.3 * MB) -
      apart(a.skeletonBytes, b.skeletonBytes, MB) -
      apart(a.mappings, b.mappings, 50) / 2,
  );
}

function bounded(factor: number): number {
  return Number.isFinite(factor) ? Math.min(FACTORS.most, Math.max(FACTORS.least, factor)) : 1;
}

function weightedMedian(points: readonly { readonly value: number; readonly weight: number }[]): number {
  const sorted = [...points].sort((a, b) => a.value - b.value);
  const half = sorted.reduce((sum, { weight }) => sum + weight, 0) / 2;
  let sum = 0;
  for (const { value, weight } of sorted) {
    sum += weight;
    if (sum >= half) return value;
  }
  return 1;
}
