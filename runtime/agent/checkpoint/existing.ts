/** A container that exists and does not run: what can be restored into it. */
import type { Namespace } from "../containerd/client.js";
import { type Container, getTask } from "../containerd/tasks.js";
import { AgentError } from "../errors.js";
import { findOurs } from "../ours.js";

/** @throws AgentError CONTAINER_NOT_FOUND, REFUSED */
export async function findContainer(ns: Namespace, id: string): Promise<Container> {
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
export async function mustBeStopped(ns: Namespace, id: string): Promise<void> {
  const status = (await getTask(ns, id))?.status;
  if (status === undefined || status === "stopped") return;
  throw new AgentError("REFUSED", `${id} is ${status}`, {
    remedy: "stop it first, since what runs in it would be lost; or restore beside it with --name",
  });
}
