/** The rounds of pre-copy, until the policy says that it is enough. */
import { estimate, type Weight } from "../../migration/convergence/costs.js";
import { ConvergencePolicy, type Decision, type Reason } from "../../migration/convergence/policy.js";
import { quiet } from "../../migration/deadline.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import type { Running } from "./migration.js";

/** The share of the whole migration's time that rounds may take. */
const ROUNDS_SHARE = 0.5;
const CLOCK_READINGS = 4;
/** Ends of the rounds that nobody has asked for. */
const LONGER_THAN_ASKED: readonly Reason[] = ["not-converging", "max-time", "max-bytes"];

export async function copyRounds(running: Running): Promise<void> {
  const { request, figures, signal, subject, stream } = running;
  if (request.strategy === "stop-and-copy") {
    await running.rootfs.sync(signal, subject.pids);
    return;
  }
  // Files travel beside the memory; what changes meanwhile follows before the switchover.
  const files = quiet(running.rootfs.sync(signal, subject.pids));
  await stream.readClock(CLOCK_READINGS, signal);
  running.phase("round");
  const decision = await untilEnough(running);
  figures.reason = decision.reason;
  if (LONGER_THAN_ASKED.includes(decision.reason) && request.notConverging === "stay") {
    throw new AgentError("NOT_CONVERGING", decision.detail, {
      remedy: "try --auto-converge, more --bandwidth, or --not-converging move for a longer pause",
    });
  }
  await files;
  await running.rootfs.sync(signal, subject.pids);
  running.phase("switchover", decision.detail);
}

async function untilEnough(running: Running): Promise<Extract<Decision, { kind: "switchover" }>> {
  const { request, figures, signal, stream, context } = running;
  const policy = new ConvergencePolicy({
    targetMs: request.downtimeMs,
    maxRounds: request.maxRounds,
    maxMs: running.remaining() * ROUNDS_SHARE,
    bandwidth: request.bandwidth,
    autoConverge: request.autoConverge,
    stageAfter: running.stageAfter,
  });
  const where = { peer: running.peer, strategy: request.strategy };
  const history = await context.costs.read();
  let previous: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const began = performance.now();
    const [report] = await Promise.all([oneRound(running), stream.readClock(1, signal)]);
    const weight = weightOf(report, stream.roundTripMs);
    const { prediction, decision } = policy.after({
      bytes: report.bytes,
      totalMs: report.totalMs,
      intervalMs: previous === undefined ? 0 : began - previous,
      backlogBytes: report.backlogBytes,
      costs: estimate(weight, where, history),
    });
    previous = began;
    figures.weight = weight;
    tell(running, report, prediction);
    if (decision.kind === "switchover") return decision;
    if (decision.kind === "throttle") await throttle(running, decision.share);
    else if (decision.afterMs > 0) await pause(decision.afterMs, signal);
  }
}

type RoundReport = Awaited<ReturnType<typeof oneRound>>;

function oneRound({ shim, migration, subject, remaining, signal }: Running) {
  return shim.service.SourceRound({ migration, id: subject.id }, { timeoutMs: remaining(), signal });
}

function weightOf(report: RoundReport, roundTripMs: number): Weight {
  const { processes, mappings, pageTableBytes, skeletonBytes, memoryBytes } = report;
  return { processes, mappings, pageTableBytes, skeletonBytes, memoryBytes, roundTripMs };
}

function tell(
  running: Running,
  report: RoundReport,
  prediction: ReturnType<ConvergencePolicy["after"]>["prediction"],
): void {
  running.live.round = report.round;
  running.live.bytes += report.bytes;
  running.emit({ round: running.figures.addRound(report, prediction) });
  running.emit({
    estimate: {
      round: report.round,
      bytes: Math.round(prediction.finalBytes),
      throughput: prediction.throughput,
      predictedDowntimeMs: prediction.downtimeMs,
      etaMs: prediction.etaMs,
      dirtyRate: prediction.dirtyRate,
    },
  });
}

async function throttle(
  { shim, migration, subject, remaining, signal, figures, phase }: Running,
  share: number,
) {
  const which = { migration, id: subject.id, share };
  const { cpus } = await shim.service.SourceThrottle(which, { timeoutMs: remaining(), signal });
  figures.throttledTo = share;
  phase("throttle", `to ${Math.round(100 * share)} % of its processor time (${cpus.toFixed(2)} CPUs)`);
}
