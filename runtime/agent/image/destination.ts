/** The image at the destination: what is missing, taking it in, and unpacking it. */
import type { ServerReadableStream } from "@grpc/grpc-js";
import type { pclive } from "#protos/agent";
import { isAlreadyThere, type Namespace, unless } from "../containerd/client.js";
import { addLabels, blobInfo, writeBlob } from "../containerd/content.js";
import { rpc } from "../containerd/methods.js";
import { unpackLayer } from "../containerd/snapshots.js";
import { AgentError } from "../errors.js";
import type { ImageInfo } from "../manifest.js";
import { type Descriptor, type ResolvedImage, resolveImage } from "./oci.js";

const BLOB_TIMEOUT_MS = 600_000;

export async function missingBlobs(ns: Namespace, image: ImageInfo): Promise<Descriptor[]> {
  const missing: Descriptor[] = [];
  for (const blob of image.blobs) if (!(await blobInfo(ns, blob.digest))) missing.push(blob);
  return missing;
}

/**
 * Takes one blob in. The first message names it, the others carry it; containerd checks its digest.
 * @param expected finds what was asked for, by migration and digest
 */
export async function receiveBlob(
  call: ServerReadableStream<pclive.peer.v1.BlobChunk, pclive.peer.v1.IPutBlobReply>,
  expected: (migration: string, digest: string) => { ns: Namespace; blob: Descriptor } | undefined,
): Promise<pclive.peer.v1.IPutBlobReply> {
  const chunks = call[Symbol.asyncIterator]() as AsyncIterator<pclive.peer.v1.BlobChunk>;
  const first = await chunks.next();
  if (first.done) throw new AgentError("PROTOCOL", "an empty blob stream");
  const wanted = expected(first.value.migration, first.value.digest);
  if (wanted === undefined || wanted.blob.size !== first.value.size) {
    throw new AgentError("PROTOCOL", `nobody asked for blob ${first.value.digest.slice(0, 80)} of this size`);
  }
  async function* pieces() {
    if (!first.done && first.value.data.length > 0) yield first.value.data;
    for (;;) {
      const next = await chunks.next();
      if (next.done) return;
      yield next.value.data;
    }
  }
  const ref = `pclive-${first.value.migration}-${wanted.blob.digest}`;
  await writeBlob(wanted.ns, { ...wanted.blob, ref }, pieces(), BLOB_TIMEOUT_MS);
  return { digest: wanted.blob.digest };
}

/**
 * Records and unpacks an image whose blobs are all here.
 * @param ns under a lease, so that nothing is collected half-way
 * @returns the name of the snapshot that a container of it lies on
 */
export async function installImage(
  ns: Namespace,
  snapshotter: string,
  image: ImageInfo,
  nonce: string,
): Promise<string> {
  const resolved = await resolveImage(ns, image.target);
  await keepTogether(ns, resolved);
  for (const [i, layer] of resolved.layers.entries()) {
    const chainId = resolved.chainIds[i] ?? "";
    await unpackLayer(
      ns,
      snapshotter,
      { descriptor: layer, parent: resolved.chainIds[i - 1] ?? "", chainId },
      nonce,
    );
  }
  const top = resolved.chainIds.at(-1) ?? "";
  if (top !== "")
    await addLabels(ns, resolved.config.digest, { [`containerd.io/gc.ref.snapshot.${snapshotter}`]: top });
  await recordImage(ns, image);
  return top;
}

/** Tells the garbage collector that the parts of an image hang on its target. */
async function keepTogether(ns: Namespace, image: ResolvedImage): Promise<void> {
  if (image.index)
    await addLabels(ns, image.index.digest, { "containerd.io/gc.ref.content.m.0": image.manifest.digest });
  const labels: Record<string, string> = { "containerd.io/gc.ref.content.config": image.config.digest };
  for (const [i, layer] of image.layers.entries())
    labels[`containerd.io/gc.ref.content.l.${i}`] = layer.digest;
  await addLabels(ns, image.manifest.digest, labels);
}

/** Records the image. A name that means something else here stays as it is; ours gets its digest appended. */
async function recordImage(ns: Namespace, image: ImageInfo): Promise<void> {
  const create = (name: string) => ns.call(rpc.images.create, { image: { name, target: image.target } });
  try {
    await create(image.name);
  } catch (error) {
    if (!isAlreadyThere(error)) throw error;
    const { image: existing } = await ns.call(rpc.images.get, { name: image.name });
    if (existing?.target?.digest === image.target.digest) return;
    await create(`${image.name}@${image.target.digest}`).catch(unless(isAlreadyThere));
  }
}
