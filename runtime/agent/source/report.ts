/** The figures of a migration, gathered on the way. */
import type { pclive } from "#protos/agent";
import type { Costs, PastSwitchover, Weight } from "../../migration/convergence/costs.js";
import { dumpAlone, type Prediction } from "../../migration/convergence/prediction.js";

type Round = pclive.agent.v1.IRound;
type Report = pclive.agent.v1.IReport;
type RoundReport = pclive.shim.v1.RoundReport;

export class Figures {
  private readonly began = Date.now();
  readonly rounds: Round[] = [];
  tracker = "";
  predictedMs = 0;
  /** As counted in the last round. */
  weight: Weight | undefined;
  throttledTo = 0;
  reason = "";
  switchover: pclive.shim.v1.SwitchoverReport | undefined;
  ready: pclive.peer.v1.IReady | undefined;
  readyAt = 0;
  running: pclive.peer.v1.IRunning | undefined;
  runningAt = 0;

  addRound(report: RoundReport, prediction: Prediction): Round {
    const round: Round = {
      round: report.round,
      pages: report.pages,
      bytes: report.bytes,
      wireBytes: report.wireBytes,
      ms: report.totalMs,
      attachMs: report.attachMs,
      frozenMs: report.frozenMs,
      dirtyRate: prediction.dirtyRate,
      throughput: prediction.throughput,
      predictedDowntimeMs: prediction.downtimeMs,
      zeroPages: report.zeroPages,
      droppedPages: report.droppedPages,
    };
    this.rounds.push(round);
    this.predictedMs = prediction.downtimeMs;
    return round;
  }

  /** What this switchover has taught; undefined when it had no rounds, or did not end as it should. */
  past(peer: string, strategy: string): PastSwitchover | undefined {
    const { switchover, ready, weight } = this;
    if (!switchover || !ready || !weight || !(this.runningAt > switchover.frozenAt)) return undefined;
    const pagesMs = Math.max(0, switchover.finalPagesMs - switchover.snapshotMs);
    const known = {
      stop: Math.max(switchover.freezeMs, switchover.lockMs),
      snapshot: switchover.snapshotMs,
      send: switchover.skeletonSendMs,
      restore: ready.restoreMs ?? 0,
      commit: this.runningAt - this.readyAt,
    };
    const explained = Object.values(known).reduce((sum, ms) => sum + ms, 0);
    const dumpMs = Math.max(switchover.skeletonDumpMs, pagesMs);
    const left = this.downtimeMs - explained - dumpMs;
    const costs: Costs = {
      ...known,
      dump: dumpAlone(switchover.skeletonDumpMs, pagesMs),
      // The peer's confirmation comes while it restores already: that part of the sending is no part of the chain.
      send: Math.max(0, known.send + Math.min(0, left)),
      ready: Math.max(0, left),
    };
    return { peer, strategy, weight, costs };
  }

  /**
   * From the freeze to running, unix times in ms by our clock.
   * @param offsetMs of the destination's clock
   */
  pause(offsetMs: number): { from: number; to: number } | undefined {
    const { switchover, running } = this;
    if (!switchover || !running?.runningAt) return undefined;
    return { from: switchover.frozenAt, to: running.runningAt - offsetMs };
  }

  private get predictionError(): number {
    return this.predictedMs > 0 && this.downtimeMs > 0 ? this.predictedMs / this.downtimeMs - 1 : 0;
  }

  private get downtimeMs(): number {
    return this.runningAt - (this.switchover?.frozenAt ?? this.runningAt);
  }

  report(container: string, host: string, strategy: string): Report {
    const { switchover, ready, running } = this;
    return {
      container,
      host,
      strategy,
      tracker: this.tracker,
      rounds: this.rounds,
      freezeMs: switchover?.freezeMs ?? 0,
      lockMs: switchover?.lockMs ?? 0,
      snapshotMs: switchover?.snapshotMs ?? 0,
      finalPagesMs: switchover?.finalPagesMs ?? 0,
      skeletonDumpMs: switchover?.skeletonDumpMs ?? 0,
      skeletonSendMs: switchover?.skeletonSendMs ?? 0,
      restoreMs: ready?.restoreMs ?? 0,
      memoryRestoreMs: ready?.memoryRestoreMs ?? 0,
      // Both by this host's clock: the two hosts' clocks may differ by more than a downtime.
      commitMs: this.runningAt - this.readyAt,
      downtimeMs: this.downtimeMs,
      totalMs: this.runningAt - this.began,
      wireBytes: switchover?.wireBytes ?? 0,
      finalBytes: switchover?.finalBytes ?? 0,
      skeletonBytes: switchover?.skeletonBytes ?? 0,
      rssBytes: running?.rssBytes ?? 0,
      predictedDowntimeMs: this.predictedMs,
      frozenInRoundsMs: this.rounds.reduce((sum, one) => sum + (one.frozenMs ?? 0), 0),
      predictionError: this.predictionError,
      throttledTo: this.throttledTo,
      reason: this.reason,
      pid: running?.pid ?? 0,
    };
  }
}
