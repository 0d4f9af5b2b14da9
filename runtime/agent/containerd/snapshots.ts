/** Snapshots: the layers of images and the writable layer of a container. */
import type { containerd } from "#protos/agent";
import { AgentError } from "../errors.js";
import { isAlreadyThere, isNotFound, type Namespace, unless } from "./client.js";
import { rpc } from "./methods.js";

export type Mount = containerd.types.IMount;

/** Unpacking of a large layer takes its time. */
const APPLY_TIMEOUT_MS = 300_000;

export interface SnapshotInfo {
  readonly name: string;
  readonly parent: string;
}

/** @returns undefined when there is none of that name */
export async function snapshotInfo(
  ns: Namespace,
  snapshotter: string,
  key: string,
): Promise<SnapshotInfo | undefined> {
  try {
    const { info } = await ns.call(rpc.snapshots.stat, { snapshotter, key });
    return { name: info?.name ?? key, parent: info?.parent ?? "" };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

export async function snapshotMounts(ns: Namespace, snapshotter: string, key: string): Promise<Mount[]> {
  return (await ns.call(rpc.snapshots.mounts, { snapshotter, key })).mounts;
}

export async function prepareSnapshot(
  ns: Namespace,
  snapshotter: string,
  key: string,
  parent: string,
  labels: Record<string, string> = {},
): Promise<Mount[]> {
  return (await ns.call(rpc.snapshots.prepare, { snapshotter, key, parent, labels })).mounts;
}

/** Removes a snapshot; none of that name is fine. */
export async function removeSnapshot(ns: Namespace, snapshotter: string, key: string): Promise<void> {
  await ns.call(rpc.snapshots.remove, { snapshotter, key }).catch(unless(isNotFound));
}

/** Unpacks a layer over `parent` as the committed snapshot `chainId`, unless that is there. */
export async function unpackLayer(
  ns: Namespace,
  snapshotter: string,
  layer: { descriptor: containerd.types.IDescriptor; parent: string; chainId: string },
  nonce: string,
): Promise<void> {
  if (await snapshotInfo(ns, snapshotter, layer.chainId)) return;
  const key = `pclive-extract-${nonce}-${layer.chainId}`;
  const mounts = await prepareSnapshot(ns, snapshotter, key, layer.parent);
  try {
    await ns.call(rpc.diff.apply, { diff: layer.descriptor, mounts }, { timeoutMs: APPLY_TIMEOUT_MS });
    await ns.call(rpc.snapshots.commit, { snapshotter, name: layer.chainId, key });
  } catch (error) {
    await removeSnapshot(ns, snapshotter, key).catch(() => undefined);
    if (!isAlreadyThere(error)) throw error;
  }
}

/**
 * The folder that holds what a container has written, of an overlay mount.
 * @throws AgentError ROOTFS when the snapshotter does not work that way
 */
export function upperDir(mounts: readonly Mount[]): string {
  const [mount] = mounts;
  if (mounts.length === 1 && mount?.type === "overlay") {
    const option = mount.options?.find((one) => one.startsWith("upperdir="));
    if (option !== undefined) return option.slice("upperdir=".length);
  }
  // A container over no layer at all: overlayfs answers a plain bind mount of the writable folder.
  if (mounts.length === 1 && mount?.type === "bind" && mount.source) return mount.source;
  throw new AgentError("ROOTFS", "the writable layer of this container is not an overlay's upper directory", {
    remedy: "use the overlayfs snapshotter for containers that shall move",
  });
}
