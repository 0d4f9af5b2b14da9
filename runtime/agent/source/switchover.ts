/**
 * The pause: freeze, last pages, skeleton, and the destination's word that all is restored.
 *
 * The shim does the most of it in one call. Beside it, as soon as the container stands still, the address may move, and what
 * it wrote last into its files is sent. The restore opens these files: the skeleton, which starts it, waits for them. Mostly
 * nothing has changed, and that is known long before the skeleton is ready.
 */

import type { pclive } from "#protos/agent";
import { AgentError } from "../errors.js";
import type { Running } from "./migration.js";

/** A pipelined restore takes a fraction of a second, whatever the memory. One that hangs must not keep the container standing still. */
const RESTORE_MS = 20_000;
/** Of what is not bulk memory, from a slow disk at the destination. */
const RESTORED_BYTES_PER_MS = 20_000;

export async function switchOver(running: Running): Promise<void> {
  const { shim, subject, migration, figures, signal, request, recorder } = running;
  if (request.strategy === "stop-and-copy") running.phase("switchover");
  const which = { migration, id: subject.id };
  const options = { timeoutMs: running.remaining(), signal };
  const [report] = await Promise.all([
    recorder.during(
      "agent",
      "shim switches over",
      shim.service.SourceSwitchover({ ...which, waitForFiles: true }, options),
    ),
    recorder.during("agent", "last files", moveFiles(running)),
  ]);
  figures.switchover = report;
  figures.ready = await recorder.during("agent", "wait for ready", restored(running, report));
  figures.readyAt = Date.now();
}

/** @throws AgentError TIMEOUT when it takes too long, or what the peer says */
async function restored(running: Running, report: pclive.shim.v1.ISwitchoverReport) {
  const { stream, signal, request } = running;
  const usual = RESTORE_MS + Number(report.skeletonBytes ?? 0) / RESTORED_BYTES_PER_MS;
  const limit = request.strategy === "pipelined" ? Math.min(usual, running.remaining()) : running.remaining();
  try {
    return await stream.expect("ready", limit, signal);
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== "TIMEOUT") throw error;
    throw new AgentError(
      "TIMEOUT",
      `the destination has not restored the container within ${Math.round(limit / 1000)} s`,
      {
        remedy:
          "look at the destination's logs; a file lock on storage that both hosts see cannot be taken there while the source holds it",
        cause: error,
      },
    );
  }
}

async function moveFiles(running: Running): Promise<void> {
  const { shim, subject, migration, stream, signal, rootfs } = running;
  const which = { migration, id: subject.id };
  const options = { timeoutMs: running.remaining(), signal };
  const { pids } = await shim.service.SourceFrozen(which, options);
  await stream.send({ switchover: {} });
  await rootfs.sync(signal, pids);
  await shim.service.SourceFilesSent(which, options);
}
