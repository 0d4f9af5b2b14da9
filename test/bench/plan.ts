/**
 * Which migrations a bench makes, and in what order: strategies take turns inside each repetition, so that
 * whatever else happens on the machine meets all of them alike.
 */
export const STRATEGIES = ["stop-and-copy", "precopy", "pipelined"] as const;
export const WORKLOADS = { "read-heavy": 0.9, "write-heavy": 0.1 } as const;
export type Strategy = (typeof STRATEGIES)[number];
export type Workload = keyof typeof WORKLOADS;

export interface Case {
  readonly workload: Workload;
  readonly memoryMb: number;
  readonly linkMbit: number;
  readonly strategy: Strategy;
  readonly repetition: number; // from 1
}

export interface Plan {
  readonly workloads: readonly Workload[];
  readonly memoryMb: readonly number[];
  readonly linkMbit: readonly number[];
  readonly strategies: readonly Strategy[];
  readonly repetitions: number;
}

export const FULL: Plan = {
  workloads: ["read-heavy", "write-heavy"],
  memoryMb: [256, 1024, 2048],
  linkMbit: [10_000, 1000],
  strategies: STRATEGIES,
  repetitions: 5,
};

export const QUICK: Plan = {
  workloads: ["read-heavy"],
  memoryMb: [2048],
  linkMbit: [10_000],
  strategies: ["precopy", "pipelined"],
  repetitions: 3,
};

/** Every case of a plan in the order of the run. */
export function cases(plan: Plan): Case[] {
  const all: Case[] = [];
  for (const linkMbit of plan.linkMbit)
    for (let repetition = 1; repetition <= plan.repetitions; repetition++)
      for (const memoryMb of plan.memoryMb)
        for (const workload of plan.workloads)
          for (const strategy of plan.strategies)
            all.push({ workload, memoryMb, linkMbit, strategy, repetition });
  return all;
}
