/** Containers of containerd that are in the hands of our runtime. */
import type { Namespace } from "./containerd/client.js";
import { type Container, getContainer } from "./containerd/tasks.js";
import { AgentError } from "./errors.js";

const RUNTIME = /^io\.containerd\.pclive\.v\d+$/;

/** What is said of one that is not there, or not ours. */
export interface Refusals {
  /** What to do when there is none; default: where to look. */
  readonly missing?: string;
  /** What another runtime cannot do, e.g. ", which cannot migrate". */
  readonly foreign: string;
  /** What to do then besides making it anew. */
  readonly instead?: string;
}

/** @throws AgentError CONTAINER_NOT_FOUND, REFUSED */
export async function findOurs(ns: Namespace, id: string, refusals: Refusals): Promise<Container> {
  const container = await getContainer(ns, id);
  if (container === undefined) {
    throw new AgentError("CONTAINER_NOT_FOUND", `there is no container ${id} in namespace ${ns.name}`, {
      remedy:
        refusals.missing ??
        `list them with \`ctr -n ${ns.name} containers ls\`, or name another namespace with --namespace`,
    });
  }
  const runtime = container.runtime?.name ?? "";
  if (!RUNTIME.test(runtime)) {
    throw new AgentError("REFUSED", `${id} was made with runtime ${runtime}${refusals.foreign}`, {
      remedy: `create it with the runtime io.containerd.pclive.v2${refusals.instead ?? ""}`,
    });
  }
  return container;
}
