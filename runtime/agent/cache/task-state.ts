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
  if (task !== undefined && task.status !== "stopped") return { state: task.status };
  const peer = await movedTo(context, namespace.data, container.data);
  if (peer !== undefined && peer !== request.host) return { state: `moved to ${peer}` };
  return { state: task?.status ?? "" };
}

/** The host to which it was moved last; undefined: it has come back, or has never left. */
async function movedTo(context: Context, namespace: string, container: string): Promise<string | undefined> {
  const entries = await context.journal.list();
  const last = entries.find(
    (one) => one.namespace === namespace && one.container === container && one.outcome === "moved",
  );
  return last?.role === "source" ? last.peer.name : undefined;
}
