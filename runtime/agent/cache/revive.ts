/**
 * A container made anew from an image of the cache: of the same image of containerd, with the files that it had written, its
 * network where that is ours to make, and its memory. What is made is noted first, so that the next run of the agent can take it
 * away should this one die; until it runs, it is nobody's.
 */
import { randomBytes } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { join } from "node:path";
import { NetworkLock } from "../../migration/netlock.js";
import { checkDestination } from "../check/destination.js";
import { refusals } from "../check/finding.js";
import { type Restored, restoreInto } from "../checkpoint/restore-into.js";
import { twinSpec, withoutManagers } from "../checkpoint/twin.js";
import type { Namespace } from "../containerd/client.js";
import { createLease, deleteLease } from "../containerd/leases.js";
import { prepareSnapshot } from "../containerd/snapshots.js";
import { createContainer } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { containerRecord } from "../destination/prepare.js";
import { AgentError } from "../errors.js";
import { installImage } from "../image/destination.js";
import type { Manifest } from "../manifest.js";
import { BridgedNamespace } from "../network/namespace.js";
import { Unpacker } from "../rootfs/unpack.js";
import { bundlePath } from "../shim-client.js";
import { type Entry, newestOf, placesOf, readManifest } from "./entry.js";
import { Making } from "./making.js";

export interface ReviveOptions {
  /** Of the new container; empty: as it was. */
  readonly name: string;
  /** Path of its network namespace; empty: as it was. */
  readonly netns: string;
}

const APPLY_MS = 600_000;

/** @throws AgentError; nothing is left of the container then */
export async function revive(context: Context, entry: Entry, options: ReviveOptions): Promise<Restored> {
  const wanted = await wantedContainer(context, entry, options);
  await mustFit(context, wanted);
  const id = randomBytes(16).toString("hex");
  const { namespace, container, snapshotter } = wanted;
  const plain = context.containerd.namespace(namespace);
  const making = await Making.begin(context, id, { namespace, container, snapshotter });
  await createLease(plain, making.lease);
  try {
    const network = await makeNetwork(context, making, wanted, id);
    const made = await makeContainer(plain.withLease(making.lease), wanted, id);
    const report = await restoreInto(context, plain, made, {
      from: placesOf(context.cache.folderOf(entry.name), newestOf(entry).name).image,
      stdio: wanted.stdio,
      fill: () => fillFiles(context, entry, wanted),
    });
    await network?.open();
    await making.done();
    return report;
  } catch (error) {
    await making.undo();
    throw error;
  } finally {
    await deleteLease(plain, making.lease).catch(() => undefined);
  }
}

/** As the manifest has it, but for its name and network. */
async function wantedContainer(context: Context, entry: Entry, options: ReviveOptions): Promise<Manifest> {
  const manifest = await readManifest(context.cache.folderOf(entry.name), entry);
  const name = options.name || manifest.container;
  const { netns } = options;
  const twin = name !== manifest.container;
  if (!twin && netns === "") return manifest;
  const { typeUrl, value } = manifest.spec;
  const bytes = twinSpec(Buffer.from(value, "base64"), manifest.container, { name, netns });
  // A namespace that is there is shared, as by any container beside another one.
  const shares = netns !== "" || (manifest.network.kind === "path" && existsSync(manifest.network.path));
  return {
    ...manifest,
    container: name,
    labels: twin ? withoutManagers(manifest.labels) : manifest.labels,
    spec: { typeUrl, value: Buffer.from(bytes).toString("base64") },
    network: shares ? { kind: "private" } : manifest.network,
  };
}

async function mustFit(context: Context, manifest: Manifest): Promise<void> {
  const [first, ...more] = refusals(await checkDestination(context, manifest, "pipelined"));
  if (first === undefined) return;
  const message = [first, ...more].map((one) => one.message).join("; ");
  throw new AgentError("CHECK_REFUSED", message, { remedy: first.remedy });
}

/** @returns how it is let go once the container runs; undefined when it is not ours to make */
async function makeNetwork(
  context: Context,
  making: Making,
  { network }: Manifest,
  id: string,
): Promise<{ open(): Promise<void> } | undefined> {
  const { network: driver } = context.config;
  if (driver.driver !== "bridge" || network.kind !== "path") return undefined;
  const namespace = new BridgedNamespace(network, driver.bridge, id);
  await namespace.requireFree();
  await making.note({ netns: network.path });
  await namespace.prepare();
  return {
    open: async () => {
      await new NetworkLock(network.path, "destination").unlock();
      await namespace.takeOver();
    },
  };
}

async function makeContainer(ns: Namespace, manifest: Manifest, id: string) {
  const { snapshotter, container, image } = manifest;
  const top = await installImage(ns, snapshotter, image, id);
  await prepareSnapshot(ns, snapshotter, container, top);
  const record = containerRecord(manifest);
  await createContainer(ns, record);
  return record;
}

/** Everything that it had written, one difference after the other, into its mounted root file system. */
async function fillFiles(context: Context, entry: Entry, { namespace, container }: Manifest): Promise<void> {
  const rootfs = join(bundlePath(context.config, namespace, container), "rootfs");
  const folder = context.cache.folderOf(entry.name);
  for (const { name } of entry.parts) {
    const unpacker = new Unpacker(rootfs, context.config.limits.rootfs);
    let empty = true;
    try {
      for await (const data of createReadStream(placesOf(folder, name).files)) {
        await unpacker.add(data as Buffer);
        empty = false;
      }
      if (!empty) await unpacker.finish(APPLY_MS);
    } finally {
      unpacker.abort();
    }
  }
}
