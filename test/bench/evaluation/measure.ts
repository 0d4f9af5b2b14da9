/** One case: a fresh container, load, the move, what came of it. */
import type { Lab } from "../../lab/lab.js";
import { HostSampler } from "../../lib/host-samples.js";
import { type MigrateWords, migrateOrThrow } from "../../lib/migrate.js";
import { moveUnderLoad } from "../../lib/move-under-load.js";
import { readTrace } from "../../lib/trace.js";
import { warmForMove, warmthFor } from "../../lib/warm.js";
import { type Moved, outcomeOf, type Part } from "./outcome.js";
import { type EvaluationCase, WORKLOADS } from "./plan.js";
import { type Running, removeContainer } from "./workloads/workload.js";

const FROM = "a";
const TO = "b";
const SETTLE_MS = 2000;

function wordsOf(strategy: string, trace: string): MigrateWords {
  const delay = /^delayed-(\d+)$/.exec(strategy)?.[1];
  return delay === undefined
    ? { strategy, trace }
    : { strategy: "pipelined", stageAfter: Number(delay), trace };
}

/** @throws when it cannot be moved, or is not whole afterwards */
export async function measure(lab: Lab, test: EvaluationCase, number: number): Promise<Moved> {
  const workload = WORKLOADS[test.workload];
  if (workload === undefined) throw new Error(`there is no workload ${test.workload}`);
  const id = `ev${number}`;
  const address = `10.10.${3 + ((number >> 7) & 127)}.${1 + (number & 127)}`;
  const trace = `/tmp/${id}.trace`;
  await lab.shape(test.linkMbit);
  // A run that was killed may have left one of that name.
  for (const host of [TO, FROM]) await removeContainer(lab, host, id);
  let running: Running | undefined;
  try {
    running = await workload.start({ lab, host: FROM, id, address }, test.memoryMb);
    const warm = await warmForMove(lab, warmthFor(test.memoryMb));
    const samplers = [FROM, TO].map((host) => HostSampler.start(lab, host));
    const route = { from: FROM, to: TO, settleMs: SETTLE_MS };
    const words = wordsOf(test.strategy, trace);
    const moved = await moveUnderLoad(
      lab,
      route,
      running.load(),
      (onEvent) => migrateOrThrow(lab, FROM, id, TO, words, onEvent),
      warm,
    ).finally(() => Promise.all(samplers.map((sampler) => sampler.stop())));
    const [from = [], to = []] = await Promise.all(samplers.map((sampler) => sampler.stop()));
    await running.verify();
    return outcomeOf(test, { ...moved, samples: { from, to }, pause: await pauseOf(lab, trace) });
  } finally {
    for (const host of [TO, FROM])
      await (running?.remove(host) ?? removeContainer(lab, host, id)).catch(() => undefined);
    await lab.exec(FROM, ["rm", "-f", trace]).catch(() => undefined);
  }
}

/** The pause as the trace has it: a chain of parts. */
async function pauseOf(lab: Lab, trace: string): Promise<Part[]> {
  const { spans } = readTrace((await lab.exec(FROM, ["cat", trace])).stdout);
  return spans
    .filter((span) => span.row.endsWith(": pause"))
    .sort((a, b) => a.from - b.from)
    .map((span) => ({ name: span.name, ms: (span.to - span.from) / 1000 }));
}
