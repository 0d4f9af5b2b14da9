/** The rounds of pre-copy, until the policy says that it is enough. */
import { quiet } from "../../migration/deadline.js";
import type { Running } from "./migration.js";
import { ConvergencePolicy } from "./policy.js";

export async function copyRounds(running: Running): Promise<void> {
  const { request, shim, figures, signal, live, subject, migration, stream } = running;
  if (request.strategy === "stop-and-copy") {
    await running.rootfs.sync(signal, subject.pids);
    return;
  }
  const policy = new ConvergencePolicy({
    targetMs: request.downtimeMs,
    maxRounds: request.maxRounds,
    bandwidth: request.bandwidth,
  });
  // Files travel beside the memory; what changes meanwhile follows before the switchover.
  const files = quiet(running.rootfs.sync(signal, subject.pids));
  running.phase("round");
  let previous: number | undefined;
  for (;;) {
    signal.throwIfAborted();
    const began = performance.now();
    const report = await shim.service.SourceRound(
      { migration, id: subject.id },
      { timeoutMs: running.remaining(), signal },
    );
    const { prediction, decision } = policy.after({
      bytes: report.bytes,
      totalMs: report.totalMs,
      intervalMs: previous === undefined ? 0 : began - previous,
      backlogBytes: stream.backlog,
    });
    previous = began;
    live.round = report.round;
    live.bytes += report.bytes;
    running.emit({ round: figures.addRound(report, prediction) });
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
    if (decision.kind === "round") continue;
    await files;
    await running.rootfs.sync(signal, subject.pids);
    running.phase("switchover", decision.detail);
    return;
  }
}
