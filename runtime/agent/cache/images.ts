/** `pclive images`: what the cache has. */
import type { pclive } from "#protos/agent";
import type { Cache } from "./cache.js";
import { bytesOf, type Entry, newestOf, totalOf } from "./entry.js";
import { checkedName } from "./name.js";

export async function listImages(cache: Cache): Promise<pclive.agent.v1.IImageList> {
  const entries = await cache.list();
  return { images: entries.map(describe), bytes: totalOf(entries), maxBytes: cache.limit };
}

/** @throws AgentError IMAGE_NOT_FOUND, BUSY, USAGE */
export async function removeImage(cache: Cache, name: string): Promise<pclive.agent.v1.ICachedImage> {
  return describe(await cache.remove(checkedName(name)));
}

function describe(entry: Entry): pclive.agent.v1.ICachedImage {
  const { name, namespace, container, source, parts } = entry;
  return {
    name,
    namespace,
    container,
    source,
    at: newestOf(entry).at,
    bytes: bytesOf(entry),
    parts: parts.length,
  };
}
