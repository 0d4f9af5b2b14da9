/**
 * What is left to do at the source once the container is committed to the destination: learn what the destination
 * made of it, then let go of our copy, or take it back if the destination can prove that it never ran.
 */

import { clearOrphan } from "../../migration/orphan.js";
import type { Span } from "../../trace/recorder.js";
import { fromWire } from "../../trace/wire.js";
import { scratchDir } from "../config.js";
import type { Namespace } from "../containerd/client.js";
import { removeSnapshot } from "../containerd/snapshots.js";
import { deleteContainer, getContainer, removeTask, waitForExit } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import { peerRpc } from "../grpc/services.js";
import type { JournalEntry } from "../journal.js";
import { removeNamespace } from "../network/namespace.js";
import { Peer } from "../peer.js";
import { fromShim, ShimClient } from "../shim-client.js";
import { returnHome } from "./rollback.js";

const ASK_TIMEOUT_MS = 15_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;
const FINISH_TIMEOUT_MS = 60_000;
const EXIT_TIMEOUT_MS = 20_000;

/**
 * Asks the destination until it answers, however long that takes, and acts on it.
 * @returns where the container runs now
 */
export async function settleCommitted(context: Context, entry: JournalEntry): Promise<"moved" | "returned"> {
  const log = context.log.child({ migration: entry.migration });
  const peer = new Peer(context, entry.peer);
  try {
    for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(wait * 2, LONGEST_PAUSE_MS)) {
      try {
        const { state } = await peer.call(
          peerRpc.settle,
          { migration: entry.migration, decision: "committed" },
          { timeoutMs: ASK_TIMEOUT_MS },
        );
        if (state === "running") return (await finish(context, entry)).where;
        if (state === "refused") return await handBack(context, entry);
        log.warn({ state }, "the destination cannot say yet what became of the container");
      } catch (error) {
        log.warn(
          { error: AgentError.from(error).message },
          "the destination does not answer; the container stays frozen here until it does",
        );
      }
      await pause(wait);
    }
  } finally {
    peer.close();
  }
}

/** The container runs at the destination: ends our copy and takes away what was its. */
export async function finish(
  context: Context,
  entry: JournalEntry,
): Promise<{ readonly where: "moved"; readonly spans: readonly Span[] }> {
  const { migration, container, namespace } = entry;
  const spans = await endCopy(context, entry);
  await cleanUp(context, entry).catch((error: unknown) => {
    // The container runs on over there: what is left here is an annoyance, not a failure.
    context.log.error(
      { migration, container, namespace, error: AgentError.from(error).message },
      "not everything could be removed here",
    );
  });
  await context.journal.write({ ...entry, phase: "done", outcome: "moved", endedAt: Date.now() });
  return { where: "moved", spans };
}

/** @returns where the time went in the shim, if it was asked to remember */
async function endCopy(context: Context, entry: JournalEntry): Promise<readonly Span[]> {
  const { migration, container: id, namespace } = entry;
  let shim: ShimClient | undefined;
  try {
    shim = await ShimClient.connect(context.config, namespace, id);
    const { spans } = await shim.service.SourceFinish({ migration, id }, { timeoutMs: FINISH_TIMEOUT_MS });
    return fromWire(spans);
  } catch (error) {
    // Without its shim the copy is dead already; the record must not say that it is still to be settled.
    const record = await context.records.read(migration).catch(() => undefined);
    if (record?.state === "done") return [];
    if (shim !== undefined && !shim.closed.aborted) throw fromShim(error);
    if (record?.state === "committed")
      await context.records.advance(migration, "done", "the shim was gone").catch(() => undefined);
    return [];
  } finally {
    shim?.close();
  }
}

/** Task, container and snapshot, unless they are wanted, and network namespace of a container that has left. Idempotent. */
async function cleanUp(context: Context, entry: JournalEntry): Promise<void> {
  const ns = context.containerd.namespace(entry.namespace);
  const { container: id } = entry;
  await waitForExit(ns, id, EXIT_TIMEOUT_MS);
  if (!entry.keepStopped) await removeContainer(ns, id);
  if (context.config.network.driver === "bridge" && entry.netns !== "") await removeNamespace(entry.netns);
  await clearOrphan(entry.migration, context.records, scratchDir(context.config));
}

async function removeContainer(ns: Namespace, id: string): Promise<void> {
  await removeTask(ns, id);
  const container = await getContainer(ns, id);
  await deleteContainer(ns, id);
  if (container?.snapshotKey) await removeSnapshot(ns, container.snapshotter, container.snapshotKey);
}

/** The destination has proved that it never ran the container: thaws ours. */
async function handBack(context: Context, entry: JournalEntry): Promise<"returned"> {
  const { migration, container: id, namespace } = entry;
  const shim = await ShimClient.connect(context.config, namespace, id);
  try {
    await shim.service.SourceRollback({ migration, id, reason: "refused" }, { timeoutMs: FINISH_TIMEOUT_MS });
  } catch (error) {
    throw fromShim(error);
  } finally {
    shim.close();
  }
  await returnHome(context, entry, "the destination refused the container after the commit");
  return "returned";
}
