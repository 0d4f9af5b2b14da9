/**
 * Which migrations a bench makes, and in what order: strategies take turns inside each repetition, so that
 * whatever else happens on the machine meets all of them alike.
 */
/** "stock": stop-and-copy by runC and stock CRIU, without anything of ours. */
export const STRATEGIES = ["stock", "stop-and-copy", "precopy", "pipelined"] as const;

export interface Load {
  /** Share of GETs, 0 to 1. */
  readonly reads: number;
  readonly connections: number;
  /** Requests per second; undefined: as the bench is told. */
  readonly rate?: number;
}

/** `idle` asks just often enough to see a gap of some milliseconds. */
export const WORKLOADS = {
  "read-heavy": { reads: 0.9, connections: 8 },
  "write-heavy": { reads: 0.1, connections: 8 },
  idle: { reads: 1, connections: 1, rate: 500 },
} as const satisfies Record<string, Load>;

export type Strategy = (typeof STRATEGIES)[number];
export type Workload = keyof typeof WORKLOADS;

export interface Case<W = Workload, S = Strategy> {
  readonly workload: W;
  readonly memoryMb: number;
  readonly linkMbit: number;
  readonly strategy: S;
  readonly repetition: number; // from 1
}

/** All combinations of what it lists. */
export interface Block<W = Workload, S = Strategy> {
  readonly workloads: readonly W[];
  readonly memoryMb: readonly number[];
  readonly linkMbit: readonly number[];
  readonly strategies: readonly S[];
}

export interface Plan<W = Workload, S = Strategy> {
  readonly blocks: readonly Block<W, S>[];
  readonly repetitions: number;
}

/** What the goals (goals.ts) are judged by; under three quarters of an hour on a machine with 2 cores. */
export const FULL: Plan = {
  blocks: [
    {
      workloads: ["idle"],
      memoryMb: [8],
      linkMbit: [10_000],
      strategies: ["stock", "stop-and-copy", "pipelined"],
    },
    {
      workloads: ["read-heavy", "write-heavy"],
      memoryMb: [2048],
      linkMbit: [10_000, 1000],
      strategies: ["precopy", "pipelined"],
    },
    { workloads: ["read-heavy"], memoryMb: [256, 3072], linkMbit: [10_000], strategies: ["pipelined"] },
  ],
  repetitions: 5,
};

const QUICK_BLOCK: Block = {
  workloads: ["read-heavy"],
  memoryMb: [2048],
  linkMbit: [10_000],
  strategies: ["precopy", "pipelined"],
};

export const QUICK: Plan = { blocks: [QUICK_BLOCK], repetitions: 3 };

/** A plan of one's own: what is not chosen is as in the quick one. */
export function chosen(choice: Partial<Block>, repetitions: number): Plan {
  return { blocks: [{ ...QUICK_BLOCK, ...choice }], repetitions };
}

/** Every case of a plan in the order of the run. */
export function cases<W, S>(plan: Plan<W, S>): Case<W, S>[] {
  const all: Case<W, S>[] = [];
  for (let repetition = 1; repetition <= plan.repetitions; repetition++)
    for (const block of plan.blocks)
      for (const linkMbit of block.linkMbit)
        for (const memoryMb of block.memoryMb)
          for (const workload of block.workloads)
            for (const strategy of block.strategies)
              all.push({ workload, memoryMb, linkMbit, strategy, repetition });
  return all;
}
