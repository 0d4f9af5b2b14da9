/** `pclive restore`: a container that exists and does not run goes on from an image. */
import { randomBytes } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { containerd, type pclive } from "#protos/agent";
import type { Namespace } from "../containerd/client.js";
import { snapshotMounts } from "../containerd/snapshots.js";
import { type Container, createTask, getTask, removeTask, startTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { findOurs } from "../ours.js";
import { streamsFor } from "./streams.js";
import { makeTwin, removeTwin } from "./twin.js";

/** Gigabytes from a slow disk. */
const RESTORE_MS = 1_800_000;
const { Options } = containerd.runc.v1;

/** @throws AgentError; the container is stopped then, as before, and one that was to be made is not there */
export async function restoreContainer(
  context: Context,
  request: pclive.agent.v1.RestoreRequest,
): Promise<pclive.agent.v1.IRestoreReport> {
  const { name, netns } = request;
  const from = await imageAt(request.from);
  const ns = context.containerd.namespace(request.namespace || "default");
  const original = await findContainer(ns, request.container);
  if (name === "") {
    if (netns !== "") throw new AgentError("USAGE", "--netns is for a new container: give its --name");
    await mustBeStopped(ns, original.id);
    return restoreInto(context, ns, original, from);
  }
  const twin = await makeTwin(ns, original, { name, netns });
  try {
    return await restoreInto(context, ns, twin, from);
  } catch (error) {
    await removeTwin(ns, twin);
    throw error;
  }
}

async function restoreInto(
  context: Context,
  ns: Namespace,
  container: Container,
  from: string,
): Promise<pclive.agent.v1.IRestoreReport> {
  const { id } = container;
  const begun = performance.now();
  const before = await getTask(ns, id);
  await removeTask(ns, id);
  const fifo = join(context.config.runDir, `stdin-${randomBytes(8).toString("hex")}`);
  const streams = await streamsFor(from, before, fifo);
  const mounts = await snapshotMounts(ns, container.snapshotter, container.snapshotKey);
  // A field given twice counts the last time: these are the container's own options but for the image.
  const own = container.runtime?.options?.value ?? new Uint8Array();
  const options = Buffer.concat([own, Options.encode({ criuImagePath: from }).finish()]);
  try {
    await createTask(ns, id, mounts, streams.stdio, options);
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

/** The folder itself, where links lead to it. @throws AgentError USAGE, REFUSED */
async function imageAt(from: string): Promise<string> {
  if (!isAbsolute(from)) {
    throw new AgentError("USAGE", `"${from.slice(0, 256)}" is no absolute path`, {
      remedy: "name a folder with --from",
    });
  }
  const found = await stat(join(from, "inventory.img")).catch(() => undefined);
  if (found?.isFile()) return realpath(from);
  throw new AgentError("REFUSED", `${from} holds no image: there is no inventory.img in it`, {
    remedy: "name the folder that a checkpoint was written to, on this host",
  });
}

/** @throws AgentError CONTAINER_NOT_FOUND, REFUSED */
async function findContainer(ns: Namespace, id: string): Promise<Container> {
  const container = await findOurs(ns, id, {
    missing: "create it first, of the same image and with the same options: ctr containers create",
    foreign: "",
  });
  if (container.snapshotKey === "") {
    throw new AgentError("REFUSED", "the container's root file system is not a snapshot of containerd", {
      remedy: "create it from an image, without --rootfs",
    });
  }
  return container;
}

/** @throws AgentError REFUSED */
async function mustBeStopped(ns: Namespace, id: string): Promise<void> {
  const status = (await getTask(ns, id))?.status;
  if (status === undefined || status === "stopped") return;
  throw new AgentError("REFUSED", `${id} is ${status}`, {
    remedy: "stop it first, since what runs in it would be lost; or restore beside it with --name",
  });
}
