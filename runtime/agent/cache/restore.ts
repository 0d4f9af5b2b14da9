/** `pclive restore --from cache:NAME`: into a container that is there and does not run, or into one that is made for it. */
import type { pclive } from "#protos/agent";
import { findContainer, mustBeStopped } from "../checkpoint/existing.js";
import { type Restored, restoreInto } from "../checkpoint/restore-into.js";
import { getContainer } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { type Entry, newestOf, placesOf } from "./entry.js";
import { revive } from "./revive.js";

type Request = pclive.agent.v1.RestoreRequest;

/** @throws AgentError; what was there before is as it was */
export async function restoreFromCache(context: Context, name: string, request: Request): Promise<Restored> {
  const { cache } = context;
  await cache.get(name);
  const release = cache.claim(name, "restored");
  try {
    return await restoreEntry(context, await cache.get(name), request);
  } finally {
    release();
  }
}

async function restoreEntry(context: Context, entry: Entry, request: Request): Promise<Restored> {
  const { name, netns } = request;
  const namespace = request.namespace || entry.namespace;
  if (namespace !== entry.namespace)
    throw new AgentError("USAGE", `${entry.name} is an image of namespace ${entry.namespace}`);
  const id = request.container || entry.container;
  if (name !== "") return revive(context, entry, { name, netns });
  const ns = context.containerd.namespace(namespace);
  if (await getContainer(ns, id)) {
    if (netns !== "") throw new AgentError("USAGE", "--netns is for a new container: give its --name");
    const container = await findContainer(ns, id);
    await mustBeStopped(ns, id);
    const { image } = placesOf(context.cache.folderOf(entry.name), newestOf(entry).name);
    return restoreInto(context, ns, container, { from: image });
  }
  if (id === entry.container) return revive(context, entry, { name: "", netns });
  throw new AgentError("CONTAINER_NOT_FOUND", `there is no container ${id} in namespace ${namespace}`, {
    remedy: `make it from the image with --name ${id}`,
  });
}
