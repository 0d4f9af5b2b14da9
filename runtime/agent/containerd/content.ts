/** The content store: blobs by digest, read and written as streams of bounded pieces. */
import { containerd } from "#protos/agent";
import { AgentError } from "../errors.js";
import { duplex, serverStream, writeMessage } from "../grpc/method.js";
import { describe, isAlreadyThere, isNotFound, type Namespace } from "./client.js";
import { rpc } from "./methods.js";

const { WriteAction } = containerd.services.content.v1;
type WriteRequest = containerd.services.content.v1.IWriteContentRequest;

/** Bytes of one piece on its way into the store. */
const PIECE = 1024 * 1024;
const STALL_MS = 30_000;

export interface BlobInfo {
  readonly digest: string;
  /** bytes */
  readonly size: number;
  readonly labels: Readonly<Record<string, string>>;
}

/** @returns undefined when the store does not have it */
export async function blobInfo(ns: Namespace, digest: string): Promise<BlobInfo | undefined> {
  try {
    const { info } = await ns.call(rpc.content.info, { digest });
    return { digest, size: info?.size ?? 0, labels: info?.labels ?? {} };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** The pieces of a blob, in order. */
export async function* readBlob(
  ns: Namespace,
  digest: string,
  timeoutMs: number,
): AsyncGenerator<Uint8Array> {
  const stream = serverStream(
    ns.containerd.client,
    rpc.content.read,
    { digest },
    { metadata: ns.metadata(), timeoutMs },
  );
  try {
    for await (const piece of stream)
      yield (piece as containerd.services.content.v1.ReadContentResponse).data;
  } catch (error) {
    throw describe(error, rpc.content.read.path, ns.containerd.address);
  } finally {
    stream.cancel();
  }
}

/**
 * A small blob (a manifest, an image configuration) as a whole.
 * @throws AgentError REFUSED when it is larger than `limit` bytes
 */
export async function readSmallBlob(ns: Namespace, digest: string, limit: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of readBlob(ns, digest, STALL_MS)) {
    size += piece.length;
    if (size > limit)
      throw new AgentError("REFUSED", `${digest} is longer than the ${limit} bytes that it may have`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/**
 * Writes a blob; containerd itself checks the digest at the commit. A blob that is there already is fine.
 * @param ref names the write: a second one of the same ref waits or fails
 * @param labels kept with the blob, e.g. references for the garbage collector
 */
export async function writeBlob(
  ns: Namespace,
  blob: { digest: string; size: number; ref: string; labels?: Record<string, string> },
  pieces: AsyncIterable<Uint8Array>,
  timeoutMs: number,
): Promise<void> {
  const stream = duplex(ns.containerd.client, rpc.content.write, { metadata: ns.metadata(), timeoutMs });
  const answers = stream[
    Symbol.asyncIterator
  ]() as AsyncIterator<containerd.services.content.v1.WriteContentResponse>;
  const exchange = async (request: WriteRequest) => {
    await writeMessage(stream, request, STALL_MS);
    const answer = await answers.next();
    if (answer.done)
      throw new AgentError("CONTAINERD", `containerd ended the writing of ${blob.digest} early`);
    return answer.value;
  };
  const common = { ref: blob.ref, total: blob.size, expected: blob.digest };
  try {
    await exchange({ action: WriteAction.STAT, ...common });
    let offset = 0;
    for await (const data of inPieces(pieces)) {
      if (offset + data.length > blob.size)
        throw new AgentError("PROTOCOL", `${blob.digest} is longer than announced`);
      await exchange({ action: WriteAction.WRITE, ...common, offset, data });
      offset += data.length;
    }
    if (offset !== blob.size)
      throw new AgentError("PROTOCOL", `${blob.digest} ended after ${offset} of ${blob.size} bytes`);
    await exchange({ action: WriteAction.COMMIT, ...common, offset, labels: blob.labels ?? {} });
    stream.end();
  } catch (error) {
    stream.cancel();
    const known = describe(error, rpc.content.write.path, ns.containerd.address);
    if (isAlreadyThere(known)) return;
    await ns.call(rpc.content.abort, { ref: blob.ref }).catch(() => undefined);
    throw known;
  }
}

async function* inPieces(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    for (let at = 0; at < piece.length; at += PIECE) yield piece.subarray(at, at + PIECE);
  }
}

/** Adds labels to a blob, keeping those it has. */
export async function addLabels(
  ns: Namespace,
  digest: string,
  labels: Record<string, string>,
): Promise<void> {
  const paths = Object.keys(labels).map((key) => `labels.${key}`);
  await ns.call(rpc.content.update, { info: { digest, labels }, updateMask: { paths } });
}
