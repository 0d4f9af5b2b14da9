/**
 * `npm run bench -- NAME`: the benchmarks.
 */
import { Command, InvalidArgumentError, Option } from "commander";
import { checkpointBench } from "./checkpoint.js";
import { convergenceTable } from "./convergence.js";
import { downtime } from "./downtime.js";
import { WORKLOADS as EVALUATED, STRATEGIES as EVALUATED_STRATEGIES } from "./evaluation/plan.js";
import { evaluation } from "./evaluation/run.js";
import { pauseBench } from "./pause.js";
import {
  type Block,
  chosen,
  FULL,
  type Plan,
  QUICK,
  STRATEGIES,
  type Strategy,
  WORKLOADS,
  type Workload,
} from "./plan.js";
import { predictionBench } from "./prediction.js";
import { shimBench } from "./shim.js";
import { drawTrace } from "./trace-picture.js";
import type { Accelerator } from "./yardstick/guests.js";
import { yardstick } from "./yardstick/run.js";

function listOf<T extends string>(allowed: readonly T[]): (text: string) => T[] {
  return (text) =>
    text.split(",").map((word) => {
      if (!allowed.includes(word as T)) throw new InvalidArgumentError(`use some of ${allowed.join(",")}`);
      return word as T;
    });
}

function numbers(text: string): number[] {
  return text.split(",").map((word) => {
    const value = Number(word);
    if (!Number.isFinite(value) || value <= 0)
      throw new InvalidArgumentError(`${word} is no positive number`);
    return value;
  });
}

function one(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("use a whole number from 1 on");
  return value;
}

const FULL_CHECKPOINT = { memoryMb: [256, 1024, 2048, 4096], repetitions: 5 };

interface Flags {
  json: string;
  svg?: string;
  quick?: boolean;
  workload?: Workload[];
  memory?: number[];
  link?: number[];
  strategy?: Strategy[];
  repetitions?: number;
  rate: number;
}

function planOf(flags: Flags): Plan {
  const base = flags.quick === true ? QUICK : FULL;
  const repetitions = flags.repetitions ?? base.repetitions;
  const choice: Partial<Block> = {
    ...(flags.workload && { workloads: flags.workload }),
    ...(flags.memory && { memoryMb: flags.memory }),
    ...(flags.link && { linkMbit: flags.link }),
    ...(flags.strategy && { strategies: flags.strategy }),
  };
  return Object.keys(choice).length > 0 ? chosen(choice, repetitions) : { ...base, repetitions };
}

const program = new Command("bench").description("benchmarks of PCLive, on the two-host lab");
program
  .command("downtime")
  .description("client-seen gap, restore time and traffic of each strategy, side by side")
  .option("--json <file>", "where the measurements go", "build/bench/downtime.json")
  .option("--svg <file>", "draw a chart of the gaps")
  .option("--quick", "2 GB, read-heavy, 10 Gbit/s, precopy and pipelined, 3 repetitions")
  .option("--workload <list>", Object.keys(WORKLOADS).join(","), listOf(Object.keys(WORKLOADS) as Workload[]))
  .option("--memory <list>", "megabytes of data", numbers)
  .option("--link <list>", "Mbit/s", numbers)
  .option("--strategy <list>", STRATEGIES.join(","), listOf(STRATEGIES))
  .option("--repetitions <n>", "of each case", one)
  .option("--rate <n>", "offered requests per second", one, 2000)
  .action(async (flags: Flags) => {
    process.exitCode = await downtime({
      plan: planOf(flags),
      json: flags.json,
      svg: flags.svg,
      rate: flags.rate,
    });
  });
program
  .command("shim")
  .description("time of a short container and memory of the shims, beside the stock shim")
  .option("--json <file>", "where the figures go", "build/bench/shim.json")
  .option("--pairs <n>", "pairs of runs", one, 30)
  .action(async (flags: { json: string; pairs: number }) => {
    process.exitCode = await shimBench(flags);
  });
program
  .command("checkpoint")
  .description("gap seen by clients and time to restore, beside stock runC and CRIU")
  .option("--json <file>", "where the measurements go", "build/bench/checkpoint.json")
  .option("--quick", "2 GB only, 3 repetitions")
  .option("--memory <list>", "megabytes of data", numbers)
  .option("--repetitions <n>", "of each case", one)
  .option("--rate <n>", "offered requests per second", one, 2000)
  .action(
    async (flags: {
      json: string;
      quick?: boolean;
      memory?: number[];
      repetitions?: number;
      rate: number;
    }) => {
      const base = flags.quick === true ? { memoryMb: [2048], repetitions: 3 } : FULL_CHECKPOINT;
      process.exitCode = await checkpointBench({
        json: flags.json,
        memoryMb: flags.memory ?? base.memoryMb,
        repetitions: flags.repetitions ?? base.repetitions,
        rate: flags.rate,
      });
    },
  );
program
  .command("prediction")
  .description("predicted and real downtime of containers of different sizes and loads")
  .option("--json <file>", "where the measurements go", "build/bench/prediction.json")
  .option("--repetitions <n>", "of each size and load", one, 3)
  .action(async (flags: { json: string; repetitions: number }) => {
    process.exitCode = await predictionBench(flags);
  });
program
  .command("evaluation")
  .description("every workload moved by every strategy: tables, pictures and a page, in under ten minutes")
  .option("--full", "more memory, both links, every strategy, three times: hours")
  .option("--out <folder>", "where everything goes", "build/bench/evaluation")
  .option("--resume", "keep what an earlier run has measured, and measure what is missing")
  .option("--report-only", "measure nothing, make the report anew")
  .option("--workload <list>", Object.keys(EVALUATED).join(","), listOf(Object.keys(EVALUATED)))
  .option("--only <list>", `strategies: ${EVALUATED_STRATEGIES.join(",")}`, listOf(EVALUATED_STRATEGIES))
  .option("--memory <list>", "megabytes", numbers)
  .option("--link <list>", "Mbit/s", numbers)
  .option("--repetitions <n>", "of each case", one)
  .action(
    async (flags: {
      full?: boolean;
      out: string;
      resume?: boolean;
      reportOnly?: boolean;
      workload?: string[];
      only?: string[];
      memory?: number[];
      link?: number[];
      repetitions?: number;
    }) => {
      process.exitCode = await evaluation({
        full: flags.full === true,
        out: flags.out,
        resume: flags.resume === true,
        reportOnly: flags.reportOnly === true,
        workloads: flags.workload,
        strategies: flags.only,
        memoryMb: flags.memory,
        linkMbit: flags.link,
        repetitions: flags.repetitions,
      });
    },
  );
program
  .command("yardstick")
  .description("a Redis moved with its whole guest by QEMU, and by itself between two such guests")
  .option("--json <file>", "where the measurements go", "build/bench/yardstick.json")
  .option("--memory <mb>", "megabytes of data", one, 128)
  .option("--repetitions <n>", "of both", one, 3)
  .option("--rate <n>", "offered requests per second", one, 200)
  .addOption(new Option("--accel <name>", "of both guests").choices(["tcg", "kvm"]).default("tcg"))
  .action(
    async (flags: {
      json: string;
      memory: number;
      repetitions: number;
      rate: number;
      accel: Accelerator;
    }) => {
      process.exitCode = await yardstick({
        json: flags.json,
        memoryMb: flags.memory,
        repetitions: flags.repetitions,
        rate: flags.rate,
        accelerator: flags.accel,
      });
    },
  );
program
  .command("pause")
  .description("where each millisecond of the pause goes: moves of an idle Redis, traced")
  .option("--out <folder>", "where traces and picture go", "build/bench/pause")
  .option("--repetitions <n>", "moves", one, 7)
  .option("--docs", "also into docs/downtime.md and its picture")
  .action(async (flags: { out: string; repetitions: number; docs?: boolean }) => {
    process.exitCode = await pauseBench({ ...flags, docs: flags.docs === true });
  });
program
  .command("trace-picture")
  .description("draw the pause of a trace of pclive migrate --trace")
  .argument("<trace>", "the file")
  .argument("<svg>", "where the picture goes")
  .action((trace: string, svg: string) => drawTrace(trace, svg));
program
  .command("convergence")
  .description("what the policy makes of containers of all kinds, by simulation")
  .action(() => {
    process.stdout.write(`${convergenceTable()}\n`);
  });
await program.parseAsync(process.argv);
