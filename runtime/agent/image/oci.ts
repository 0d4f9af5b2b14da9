/**
 * Images as the OCI and Docker describe them, as far as moving and unpacking one needs it.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Namespace } from "../containerd/client.js";
import { blobInfo, readSmallBlob } from "../containerd/content.js";
import { AgentError } from "../errors.js";

export const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/);

export const descriptor = z.object({
  mediaType: z.string().min(1).max(255),
  digest,
  /** bytes */
  size: z.int().min(0),
});
export type Descriptor = z.infer<typeof descriptor>;

const platform = z.object({ architecture: z.string(), os: z.string() });
const index = z.object({ manifests: z.array(descriptor.extend({ platform: platform.optional() })).max(512) });
const manifest = z.object({ config: descriptor, layers: z.array(descriptor).max(512) });
const configuration = z.object({ rootfs: z.object({ diff_ids: z.array(digest).max(512) }) });

const INDEX_TYPES = new Set([
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
]);
const MANIFEST_BYTES = 4 * 1024 * 1024;

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", ia32: "386" };
const ARCHITECTURE = ARCHITECTURES[process.arch] ?? process.arch;

/** An image of this platform, read from the content store. */
export interface ResolvedImage {
  /** The index, when the image has one. */
  readonly index?: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  /** For each layer the name of its snapshot, made of its and its parents' content. */
  readonly chainIds: readonly string[];
}

/** Everything that must be in a content store for the image to be complete. */
export function blobsOf(image: ResolvedImage): Descriptor[] {
  const all = [...(image.index ? [image.index] : []), image.manifest, image.config, ...image.layers];
  return [...new Map(all.map((one) => [one.digest, one])).values()];
}

/** ChainID of the OCI image specification: what a stack of layers is called as a snapshot. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(
      parent === undefined
        ? diffId
        : `sha256:${createHash("sha256").update(`${parent} ${diffId}`).digest("hex")}`,
    );
  }
  return chain;
}

/**
 * Follows an image's target to its manifest, configuration and layers.
 * @throws AgentError REFUSED when a part is missing or malformed
 */
export async function resolveImage(ns: Namespace, target: Descriptor): Promise<ResolvedImage> {
  const isIndex = INDEX_TYPES.has(target.mediaType);
  const chosen = isIndex ? await chooseManifest(ns, target) : target;
  const { config, layers } = await readJson(ns, chosen, manifest);
  const { rootfs } = await readJson(ns, config, configuration);
  if (rootfs.diff_ids.length !== layers.length) {
    throw new AgentError(
      "REFUSED",
      `image ${chosen.digest} has ${layers.length} layers but names ${rootfs.diff_ids.length}`,
    );
  }
  return {
    ...(isIndex ? { index: target } : {}),
    manifest: chosen,
    config,
    layers,
    chainIds: chainIds(rootfs.diff_ids),
  };
}

/** Of an index, the manifest of this platform; one that names no platform will do, too. */
async function chooseManifest(ns: Namespace, target: Descriptor): Promise<Descriptor> {
  const { manifests } = await readJson(ns, target, index);
  const fitting = manifests.filter(
    (one) =>
      one.platform === undefined ||
      (one.platform.os === "linux" && one.platform.architecture === ARCHITECTURE),
  );
  for (const { mediaType, digest: name, size } of fitting) {
    if (await blobInfo(ns, name)) return { mediaType, digest: name, size };
  }
  throw new AgentError(
    "REFUSED",
    `image ${target.digest} has no manifest for linux/${ARCHITECTURE} in the content store`,
    {
      remedy: "pull the image again",
    },
  );
}

async function readJson<T>(ns: Namespace, blob: Descriptor, schema: z.ZodType<T>): Promise<T> {
  if ((await blobInfo(ns, blob.digest)) === undefined) {
    throw new AgentError("REFUSED", `${blob.digest} is missing in the content store`, {
      remedy: "pull or import the image again, without discarding what was unpacked",
    });
  }
  const text = (await readSmallBlob(ns, blob.digest, MANIFEST_BYTES)).toString("utf8");
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new AgentError("REFUSED", `${blob.digest} is no image ${blob.mediaType}`, { cause: error });
  }
}
