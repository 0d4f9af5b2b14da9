/**
 * A container like another one, beside it: for the restore of an image under a new name. It gets the same specification over
 * the same image, and a copy of the files that the other one has written.
 */
import { randomBytes } from "node:crypto";
import type { Namespace } from "../containerd/client.js";
import { createLease, deleteLease } from "../containerd/leases.js";
import {
  prepareSnapshot,
  removeSnapshot,
  snapshotInfo,
  snapshotMounts,
  upperDir,
} from "../containerd/snapshots.js";
import { type Container, createContainer, deleteContainer, getContainer } from "../containerd/tasks.js";
import { AgentError } from "../errors.js";
import { identifier } from "../manifest.js";
import { command } from "../util/command.js";

export interface TwinOptions {
  readonly name: string;
  /** Path of the network namespace; empty: that of the other one. */
  readonly netns: string;
}

const COPY_MS = 600_000;
/** They say who manages the other container; nobody does the twin. */
const MANAGERS = /^(nerdctl\/|io\.cri-containerd\.|io\.kubernetes\.|pclive\.io\/)/;
/** As of an archive of a running container's files: on the way no symbolic link is followed, wherever the container puts one. */
const COPY =
  'mount --bind "$1" "$1" && mount -o remount,bind,nosymfollow "$1" && cd "$1" && exec cp -a --reflink=auto . "$2"';

/** @throws AgentError USAGE, REFUSED, ROOTFS; nothing is left of the twin then */
export async function makeTwin(ns: Namespace, original: Container, options: TwinOptions): Promise<Container> {
  const name = checkedName(options.name);
  if (await getContainer(ns, name)) {
    throw new AgentError("REFUSED", `a container named ${name} exists already`, {
      remedy: "give another --name, or restore into it without --name",
    });
  }
  const spec = twinSpec(original.spec?.value ?? new Uint8Array(), original.id, options);
  const lease = `pclive-twin-${randomBytes(8).toString("hex")}`;
  await createLease(ns, lease);
  try {
    return await makeUnder(ns.withLease(lease), original, name, spec);
  } catch (error) {
    await removeSnapshot(ns, original.snapshotter, name).catch(() => undefined);
    throw error;
  } finally {
    await deleteLease(ns, lease).catch(() => undefined);
  }
}

/** For a twin whose restore has failed; never rejects. */
export async function removeTwin(ns: Namespace, twin: Container): Promise<void> {
  await deleteContainer(ns, twin.id).catch(() => undefined);
  await removeSnapshot(ns, twin.snapshotter, twin.snapshotKey).catch(() => undefined);
}

async function makeUnder(
  ns: Namespace,
  original: Container,
  name: string,
  spec: Uint8Array,
): Promise<Container> {
  const { snapshotter, snapshotKey, image, runtime, labels } = original;
  const { parent } = (await snapshotInfo(ns, snapshotter, snapshotKey)) ?? { parent: "" };
  const from = upperDir(await snapshotMounts(ns, snapshotter, snapshotKey));
  const to = upperDir(await prepareSnapshot(ns, snapshotter, name, parent));
  const script = ["--mount", "--propagation", "private", "sh", "-c", COPY, "sh", from, to];
  await command("unshare", script, { timeoutMs: COPY_MS, code: "ROOTFS" });
  await createContainer(ns, {
    id: name,
    labels: withoutManagers(labels),
    ...{ image, runtime: runtime ?? null, snapshotter },
    snapshotKey: name,
    spec: { type_url: original.spec?.type_url ?? "", value: spec },
  });
  const made = await getContainer(ns, name);
  if (made) return made;
  throw new AgentError("CONTAINERD", `containerd has lost the new container ${name}`);
}

/** The labels that are the container's own. */
export function withoutManagers(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !MANAGERS.test(key)));
}

function checkedName(name: string): string {
  if (identifier.safeParse(name).success) return name;
  throw new AgentError("USAGE", `${JSON.stringify(name.slice(0, 128))} is no name for a container`, {
    remedy: "use at most 76 letters and digits, with single dots, dashes and underscores between",
  });
}

/**
 * The specification of the twin: its own cgroup, and its network.
 * @throws AgentError REFUSED, USAGE
 */
export function twinSpec(bytes: Uint8Array, id: string, { name, netns }: TwinOptions): Uint8Array {
  const spec = parsed(bytes);
  const linux = spec.linux ?? {};
  if (linux.cgroupsPath) linux.cgroupsPath = twinCgroup(linux.cgroupsPath, id, name);
  if (netns !== "") {
    const network = linux.namespaces?.find((one) => one.type === "network");
    if (!network?.path) {
      throw new AgentError("USAGE", `${id} has no network namespace by path that --netns could replace`, {
        remedy: "leave --netns out",
      });
    }
    network.path = netns;
  }
  return Buffer.from(JSON.stringify(spec));
}

/** Of a path, or systemd's `slice:prefix:name`: the last part has the container's name, or gets the twin's. */
function twinCgroup(path: string, id: string, name: string): string {
  const at = Math.max(path.lastIndexOf("/"), path.lastIndexOf(":")) + 1;
  const last = path.slice(at);
  return path.slice(0, at) + (last.includes(id) ? last.replace(id, () => name) : `${last}-${name}`);
}

interface TwinSpec {
  linux?: { cgroupsPath?: string; namespaces?: { type: string; path?: string }[] };
}

function parsed(bytes: Uint8Array): TwinSpec {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8")) as TwinSpec;
  } catch (error) {
    throw new AgentError("REFUSED", "the container's specification is not JSON", { cause: error });
  }
}
