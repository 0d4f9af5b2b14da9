/** Which cases an evaluation makes. */
import { type Block, type Case, cases, type Plan } from "../plan.js";
import { CORE_NAMES } from "../ycsb/mix.js";
import { mariadb } from "./workloads/mariadb.js";
import { bfs, memhog } from "./workloads/program.js";
import type { Workload } from "./workloads/workload.js";
import { ycsb } from "./workloads/ycsb.js";

export const WORKLOADS: Readonly<Record<string, Workload>> = {
  ...Object.fromEntries(CORE_NAMES.map((name) => [`ycsb-${name}`, ycsb(name)])),
  "mariadb-ro": mariadb("ro"),
  "mariadb-rw": mariadb("rw"),
  "mariadb-own": mariadb("own"),
  bfs,
  memhog,
};

/** "delayed-K": pipelined, but the destination begins to build memory after round K. */
export const STRATEGIES = ["stop-and-copy", "precopy", "pipelined", "delayed-1", "delayed-2", "delayed-4"];

const BASIC = ["stop-and-copy", "precopy", "pipelined"];
const NAMES = Object.keys(WORKLOADS);
const GBIT = 1000;

export type EvaluationCase = Case<string, string>;
type EvaluationPlan = Plan<string, string>;
type EvaluationBlock = Block<string, string>;

/** Ten minutes on a machine with two cores: every workload, small, once. */
const SHORT: EvaluationPlan = {
  blocks: [
    {
      workloads: ["ycsb-a", "memhog"],
      memoryMb: [256],
      linkMbit: [10 * GBIT],
      strategies: BASIC,
    },
    {
      workloads: ["mariadb-rw"],
      memoryMb: [256],
      linkMbit: [10 * GBIT],
      // No precopy: see docs/limits.md on memory that is only reserved, of which MariaDB has eight terabytes.
      strategies: ["stop-and-copy", "pipelined"],
    },
    // Its graph takes long to make.
    { workloads: ["bfs"], memoryMb: [128], linkMbit: [10 * GBIT], strategies: BASIC },
    {
      workloads: NAMES.filter((name) => /^ycsb-[^a]$|^mariadb-(ro|own)$/.test(name)),
      memoryMb: [256],
      linkMbit: [10 * GBIT],
      strategies: ["pipelined"],
    },
    {
      workloads: ["ycsb-a"],
      memoryMb: [256],
      linkMbit: [GBIT],
      strategies: ["precopy", "pipelined"],
    },
  ],
  repetitions: 1,
};

/** Hours: for the record. */
const FULL: EvaluationPlan = {
  blocks: [
    {
      workloads: NAMES.filter((name) => name !== "memhog"),
      memoryMb: [512],
      linkMbit: [10 * GBIT, GBIT],
      strategies: STRATEGIES,
    },
    {
      workloads: ["memhog"],
      memoryMb: [100, 512, 1024, 2048, 3096],
      linkMbit: [10 * GBIT, GBIT],
      strategies: STRATEGIES,
    },
  ],
  repetitions: 3,
};

export interface Choice {
  readonly full: boolean;
  /** Of each: undefined keeps the plan's own; a choice of memory or link replaces it. */
  readonly workloads?: readonly string[] | undefined;
  readonly strategies?: readonly string[] | undefined;
  readonly memoryMb?: readonly number[] | undefined;
  readonly linkMbit?: readonly number[] | undefined;
  readonly repetitions?: number | undefined;
}

/**
 * The cases of the plan that are chosen; if a chosen workload or strategy is not together in the plan, then all combinations of what is chosen.
 * @param delay whether the command can delay the staging
 */
export function planned(choice: Choice, delay: boolean): EvaluationCase[] {
  const base = choice.full ? FULL : SHORT;
  const possible = (strategy: string): boolean => delay || !strategy.startsWith("delayed-");
  const first = base.blocks[0] as EvaluationBlock;
  const whole: EvaluationPlan =
    choice.workloads && choice.strategies
      ? { ...base, blocks: [{ ...first, workloads: choice.workloads, strategies: choice.strategies }] }
      : base;
  const blocks = whole.blocks.map((block) => ({
    workloads: block.workloads.filter((name) => choice.workloads?.includes(name) ?? true),
    strategies: block.strategies.filter(
      (name) => possible(name) && (choice.strategies?.includes(name) ?? true),
    ),
    memoryMb: choice.memoryMb ?? block.memoryMb,
    linkMbit: choice.linkMbit ?? block.linkMbit,
  }));
  const seen = new Set<string>();
  return cases({ blocks, repetitions: choice.repetitions ?? base.repetitions }).filter(
    (one) => !seen.has(keyOf(one)) && seen.add(keyOf(one)),
  );
}

/** Names a case, also over several runs. */
export function keyOf({ workload, memoryMb, linkMbit, strategy, repetition }: EvaluationCase): string {
  return `${workload} ${memoryMb} MB ${linkMbit} Mbit/s ${strategy} #${repetition}`;
}
