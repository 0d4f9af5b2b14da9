/** Of which containers there can be a checkpoint. */
import type { Namespace } from "../containerd/client.js";
import { getTask } from "../containerd/tasks.js";
import { AgentError } from "../errors.js";
import { findOurs } from "../ours.js";

/** A container of ours that runs or is paused. @throws AgentError CONTAINER_NOT_FOUND, REFUSED */
export async function mustHaveState(ns: Namespace, id: string): Promise<void> {
  await findOurs(ns, id, {
    foreign: ", whose checkpoints stop the container",
    instead: ", or use that runtime's own means",
  });
  const status = (await getTask(ns, id))?.status;
  if (status === "running" || status === "paused") return;
  throw new AgentError("REFUSED", `${id} is not running (${status ?? "no task"})`, {
    remedy: "start it: only what runs has a state to keep",
  });
}
