/** The image at the source: what it is made of, and sending what the destination lacks. */
import type { Client } from "@grpc/grpc-js";
import { isNotFound, type Namespace } from "../containerd/client.js";
import { blobInfo, readBlob } from "../containerd/content.js";
import { rpc } from "../containerd/methods.js";
import { AgentError, fromPeerError } from "../errors.js";
import { clientStream, writeMessage } from "../grpc/method.js";
import { peerRpc } from "../grpc/services.js";
import type { ImageInfo } from "../manifest.js";
import { blobsOf, type Descriptor, descriptor, resolveImage } from "./oci.js";

/** Bytes in one message. */
const PIECE = 512 * 1024;
const STALL_MS = 30_000;
const BLOB_TIMEOUT_MS = 600_000;

/**
 * The image below a container, checked to be complete here.
 * @param top name of the snapshot that the container's own one lies on
 * @throws AgentError REFUSED when it could not be made at the destination
 */
export async function describeImage(ns: Namespace, name: string, top: string): Promise<ImageInfo> {
  const target = await imageTarget(ns, name);
  const resolved = await resolveImage(ns, target);
  if ((resolved.chainIds.at(-1) ?? "") !== top) {
    throw new AgentError("REFUSED", `the container was made from another image than what ${name} names now`, {
      remedy: `tag the image that it was made from as ${name} again, or recreate the container`,
    });
  }
  const blobs = blobsOf(resolved);
  for (const blob of blobs) {
    if (await blobInfo(ns, blob.digest)) continue;
    throw new AgentError("REFUSED", `${blob.digest} of image ${name} is missing in the content store`, {
      remedy: `pull or import ${name} again, without discarding what was unpacked`,
    });
  }
  return { name, target, blobs };
}

async function imageTarget(ns: Namespace, name: string): Promise<Descriptor> {
  if (name === "") {
    throw new AgentError(
      "REFUSED",
      "the container has no image: its root file system cannot be made elsewhere",
      {
        remedy: "run it from an image",
      },
    );
  }
  try {
    const { image } = await ns.call(rpc.images.get, { name });
    return descriptor.parse(image?.target);
  } catch (error) {
    if (!isNotFound(error)) throw error;
    throw new AgentError("REFUSED", `the container's image ${name} is not in the image store any more`, {
      remedy: "pull or import it again",
      cause: error,
    });
  }
}

/** Streams blobs to the destination, one after the other. Returns the bytes sent. */
export async function sendBlobs(
  peer: { client: Client; name: string },
  ns: Namespace,
  migration: string,
  blobs: readonly Descriptor[],
  signal: AbortSignal,
): Promise<number> {
  let sent = 0;
  for (const blob of blobs) {
    signal.throwIfAborted();
    const { stream, answer } = clientStream(peer.client, peerRpc.putBlob, { timeoutMs: BLOB_TIMEOUT_MS });
    answer.catch(() => undefined); // seen below; until then it must not count as unhandled
    try {
      const common = { namespace: ns.name, digest: blob.digest, size: blob.size, migration };
      await writeMessage(stream, common, STALL_MS);
      for await (const data of readBlob(ns, blob.digest, BLOB_TIMEOUT_MS)) {
        signal.throwIfAborted();
        for (let at = 0; at < data.length; at += PIECE) {
          await writeMessage(stream, { data: data.subarray(at, at + PIECE) }, STALL_MS);
        }
        sent += data.length;
      }
      stream.end();
      await answer;
    } catch (error) {
      stream.cancel();
      // The peer's own words, if it gave any, say more than our broken pipe.
      const reason = await Promise.race([answer.catch((e: unknown) => e), Promise.resolve(error)]);
      throw fromPeerError(reason ?? error, peer.name);
    }
  }
  return sent;
}
