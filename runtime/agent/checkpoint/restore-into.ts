/** A container that has no task, or an ended one, goes on from an image. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { containerd } from "#protos/agent";
import { quiet } from "../../migration/deadline.js";
import type { Namespace } from "../containerd/client.js";
import { snapshotMounts } from "../containerd/snapshots.js";
import {
  createTask,
  getTask,
  type NewContainer,
  removeTask,
  startTask,
  type Task,
} from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { streamsFor } from "./streams.js";

/** Gigabytes from a slow disk. */
const RESTORE_MS = 1_800_000;
const { Options } = containerd.runc.v1;

export interface Restored {
  readonly container: string;
  readonly pid: number;
  readonly restoreMs: number;
}

export interface RestoreIntoOptions {
  /** Folder of the image; absolute, no link. */
  readonly from: string;
  /** Where the streams went, of which those that are nobody's pipes are taken over; default: as of the ended task. */
  readonly stdio?: Pick<Task["stdio"], "stdout" | "stderr">;
  /** Called when the root file system is mounted, before anything is restored. */
  readonly fill?: () => Promise<void>;
}

/** @throws AgentError; there is no task then */
export async function restoreInto(
  context: Context,
  ns: Namespace,
  container: NewContainer,
  { from, stdio, fill }: RestoreIntoOptions,
): Promise<Restored> {
  const { id, snapshotter, snapshotKey, runtime } = container as Required<NewContainer> & { id: string };
  const begun = performance.now();
  const before = stdio ?? (await getTask(ns, id))?.stdio;
  await removeTask(ns, id);
  const fifo = join(context.config.runDir, `stdin-${randomBytes(8).toString("hex")}`);
  const mounts = quiet(snapshotMounts(ns, snapshotter ?? "", snapshotKey ?? ""));
  const streams = await streamsFor(from, before, fifo);
  // A field given twice counts the last time: these are the container's own options but for the image.
  const own = runtime?.options?.value ?? new Uint8Array();
  const options = Buffer.concat([own, Options.encode({ criuImagePath: from }).finish()]);
  try {
    await createTask(ns, id, await mounts, streams.stdio, options);
    await fill?.();
    const pid = await startTask(ns, id, RESTORE_MS);
    return { container: id, pid, restoreMs: performance.now() - begun };
  } catch (error) {
    await removeTask(ns, id).catch(() => undefined);
    throw new AgentError("RESTORE_FAILED", `${id} could not be restored: ${AgentError.from(error).message}`, {
      remedy: "look at the message; the image is as it was",
      cause: error,
    });
  } finally {
    await streams.forget();
  }
}
