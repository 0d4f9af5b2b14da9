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
/** Files that are late hold up the switchover; what is written meanwhile would travel in the pause. */
const WORTH_A_ROUND_MS = 100;
const FEW_FILES_MS = 200;
const MAX_FILE_TURNS = 4;
/** Ends of the rounds that nobody has asked for. */
const LONGER_THAN_ASKED: readonly Reason[] = ["not-converging", "max-time", "max-bytes"];

export async function copyRounds(running: Running): Promise<void> {
  const { request, figures, signal, stream } = running;
  if (request.strategy === "stop-and-copy") {
    await copyFiles(running);
    return;
  }
  // Files travel beside the memory; what changes meanwhile follows before the switchover.
  const files = quiet(copyFiles(running));
  await stream.readClock(CLOCK_READINGS, signal);
  running.phase("round");
  const rounds = await Rounds.begin(running);
  const decision = await rounds.untilEnough();
  const enough = performance.now();
  figures.reason = decision.reason;
  if (LONGER_THAN_ASKED.includes(decision.reason) && request.notConverging === "stay") {
    throw new AgentError("NOT_CONVERGING", decision.detail, {
      remedy: "try --auto-converge, more --bandwidth, or --not-converging move for a longer pause",
    });
  }
  await files;
  await lastFiles(running);
  const late = performance.now() - enough > WORTH_A_ROUND_MS;
  if (late && running.live.round < request.maxRounds) await rounds.next();
  running.phase("switchover", decision.detail);
}

/** Twice: from the second time on it is known which blocks of a file the destination has, and only others are sent. */
async function copyFiles({ rootfs, signal, subject }: Running): Promise<void> {
  await rootfs.sync(signal, subject.pids);
  await rootfs.sync(signal, subject.pids);
}

/** Until so little has changed that it was soon there: as little is left for the pause. */
async function lastFiles({ rootfs, signal, subject }: Running): Promise<void> {
  for (let turn = 0; turn < MAX_FILE_TURNS; turn++) {
    const began = performance.now();
    await rootfs.sync(signal, subject.pids);
    if (performance.now() - began < FEW_FILES_MS) return;
  }
}

class Rounds {
  private previous: number | undefined;

  private constructor(
    private readonly running: Running,
    private readonly policy: ConvergencePolicy,
    private readonly history: Awaited<ReturnType<Running["context"]["costs"]["read"]>>,
  ) {}

  static async begin(running: Running): Promise<Rounds> {
    const { request } = running;
    const policy = new ConvergencePolicy({
      targetMs: request.downtimeMs,
      maxRounds: request.maxRounds,
      maxMs: running.remaining() * ROUNDS_SHARE,
      bandwidth: request.bandwidth,
      autoConverge: request.autoConverge,
      stageAfter: running.stageAfter,
    });
    return new Rounds(running, policy, await running.context.costs.read());
  }

  async untilEnough(): Promise<Extract<Decision, { kind: "switchover" }>> {
    for (;;) {
      const decision = await this.next();
      if (decision.kind === "switchover") return decision;
      if (decision.kind === "throttle") await throttle(this.running, decision.share);
      else if (decision.afterMs > 0) await pause(decision.afterMs, this.running.signal);
    }
  }

  /** One round, and what to do after it. */
  async next(): Promise<Decision> {
    const { running, previous } = this;
    const { request, figures, signal, stream } = running;
    signal.throwIfAborted();
    const began = performance.now();
    const [report] = await Promise.all([oneRound(running), stream.readClock(1, signal)]);
    const weight = weightOf(report, stream.roundTripMs);
    const { prediction, decision } = this.policy.after({
      bytes: report.bytes,
      totalMs: report.totalMs,
      intervalMs: previous === undefined ? 0 : began - previous,
      backlogBytes: report.backlogBytes,
      costs: estimate(weight, { peer: running.peer, strategy: request.strategy }, this.history),
    });
    this.previous = began;
    figures.weight = weight;
    tell(running, report, prediction);
    return decision;
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
