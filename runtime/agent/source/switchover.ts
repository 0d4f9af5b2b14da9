/**
 * The pause: freeze, last pages, skeleton, and the destination's word that all is restored.
 *
 * The shim does the most of it in one call. Beside it, as soon as the container stands still, the address may move, and what
 * it wrote last into its files is sent. The restore opens these files: the skeleton, which starts it, waits for them. Mostly
 * nothing has changed, and that is known long before the skeleton is ready.
 */

import type { Running } from "./migration.js";

export async function switchOver(running: Running): Promise<void> {
  const { shim, subject, migration, stream, figures, signal, request, recorder } = running;
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
  const ready = stream.expect("ready", running.remaining(), signal);
  figures.ready = await recorder.during("agent", "wait for ready", ready);
  figures.readyAt = Date.now();
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
