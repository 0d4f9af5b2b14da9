/** What one agent tells another of a container: whether it runs here. */
import type { pclive } from "#protos/agent";
import { getTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { identifier } from "../manifest.js";

export async function taskState(
  context: Context,
  request: pclive.peer.v1.ITaskStateRequest,
): Promise<pclive.peer.v1.ITaskStateReply> {
  const namespace = identifier.safeParse(request.namespace);
  const container = identifier.safeParse(request.container);
  if (!namespace.success || !container.success)
    throw new AgentError("PROTOCOL", "the peer asks for something that is no container");
  const task = await getTask(context.containerd.namespace(namespace.data), container.data);
  return { state: task?.status ?? "" };
}
