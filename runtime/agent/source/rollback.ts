/** The container stays, or comes back: what the agent itself has to put right at the source. */

import { clearOrphan } from "../../migration/orphan.js";
import { scratchDir } from "../config.js";
import { getTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import type { JournalEntry } from "../journal.js";
import { interfacesOf } from "../network/describe.js";
import { announce, reannounce } from "../network/namespace.js";

/**
 * When the addresses are announced once more, in ms after the time before. Until the destination has withdrawn them it may
 * have announced them as well, or answered for them: the last word must be ours.
 */
const AGAIN_MS = [200, 300, 500, 1000, 3000, 5000] as const;

/** Announces the container's addresses again and closes the journal. */
export async function returnHome(context: Context, entry: JournalEntry, reason: string): Promise<void> {
  const log = context.log.child({ migration: entry.migration });
  await clearOrphan(entry.migration, context.records, scratchDir(context.config)).catch((error: unknown) =>
    log.error({ error: AgentError.from(error).message }, "the scratch folder of a shim that died stays"),
  );
  if (entry.netns !== "" && context.config.network.driver === "bridge") {
    try {
      const interfaces = await interfacesOf(entry.netns);
      await reannounce(entry.netns, interfaces);
      void announceAgain(entry.netns, interfaces);
    } catch (error) {
      log.warn(
        { error: AgentError.from(error).message },
        "the container's addresses could not be announced again",
      );
    }
  }
  await context.journal.write({
    ...entry,
    phase: "rolled-back",
    outcome: "failed",
    reason,
    endedAt: Date.now(),
  });
}

/** Ends with the namespace. During a later switchover the namespace is locked: nothing of this gets out then. */
async function announceAgain(
  netns: string,
  interfaces: Awaited<ReturnType<typeof interfacesOf>>,
): Promise<void> {
  for (const ms of AGAIN_MS) {
    await pause(ms);
    const there = await announce(netns, interfaces).then(
      () => true,
      () => false,
    );
    if (!there) return;
  }
}

/** Whether the container runs on this host, as containerd sees it. */
export async function runsHere(
  context: Context,
  which: { namespace: string; container: string },
): Promise<boolean> {
  const task = await getTask(context.containerd.namespace(which.namespace), which.container).catch(
    () => undefined,
  );
  return task?.status === "running";
}
