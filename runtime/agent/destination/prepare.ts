/** Everything that can be made at the destination before memory arrives. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import type { Namespace } from "../containerd/client.js";
import { prepareSnapshot, removeSnapshot } from "../containerd/snapshots.js";
import { createContainer, createIncomingTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { installImage } from "../image/destination.js";
import { decodeAny, type Manifest } from "../manifest.js";
import { BridgedNamespace } from "../network/namespace.js";
import { bundlePath, fromShim, ShimClient } from "../shim-client.js";
import { type Arrival, leaseName } from "./arrival.js";

export const MIGRATION_LABEL = "pclive.io/migration";

const PREPARE_MS = 60_000;
const TOKEN_BYTES = 32;

/** What the source asks of the engine here. */
export const pacingSchema = z.object({
  /** The round at whose end memory is put in place; until then it waits in a file. */
  stageAfter: z.int().min(0).max(999),
  /** Of one processor, in the rounds; 0: no limit. */
  cpuPercent: z.int().min(0).max(100_000),
});
export type Pacing = z.output<typeof pacingSchema>;

export interface PreparedContainer {
  readonly port: number;
  readonly stageAfter: number;
  readonly token: Buffer;
  /** The mounted root file system, into which the writable layer goes. */
  readonly rootfs: string;
}

/**
 * Image, snapshot, network, container, task and the shim's listener. What was made is in the journal first,
 * so that a failure at any point can be cleaned up.
 */
export async function prepareArrival(
  context: Context,
  arrival: Arrival,
  manifest: Manifest,
  pacing: Pacing,
): Promise<PreparedContainer> {
  const { migration, strategy } = arrival.entry;
  const ns = context.containerd.namespace(manifest.namespace, leaseName(migration));
  const [top] = await Promise.all([
    installImage(ns, manifest.snapshotter, manifest.image, migration),
    prepareNetwork(context, arrival, manifest),
  ]);
  await prepareTask(ns, arrival, manifest, top);
  const token = randomBytes(TOKEN_BYTES);
  const port = await prepareShim(context, arrival, manifest, pacing, token);
  return {
    port,
    token,
    stageAfter: strategy === "pipelined" ? pacing.stageAfter : 0,
    rootfs: join(bundlePath(context.config, manifest.namespace, manifest.container), "rootfs"),
  };
}

async function prepareNetwork(context: Context, arrival: Arrival, manifest: Manifest): Promise<void> {
  const { network } = context.config;
  if (network.driver !== "bridge" || manifest.network.kind !== "path") return;
  const namespace = new BridgedNamespace(manifest.network, network.bridge, arrival.entry.migration);
  await namespace.requireFree();
  await arrival.note({ made: { ...arrival.entry.made, netns: true } });
  await namespace.prepare();
  arrival.network = namespace;
}

async function prepareTask(ns: Namespace, arrival: Arrival, manifest: Manifest, top: string): Promise<void> {
  const { container, snapshotter } = manifest;
  const { migration } = arrival.entry;
  const mounts = await prepareSnapshot(ns, snapshotter, container, top);
  await arrival.note({ made: { ...arrival.entry.made, snapshot: { snapshotter, key: container } } });
  try {
    const record = containerRecord(manifest);
    await createContainer(ns, { ...record, labels: { ...record.labels, [MIGRATION_LABEL]: migration } });
  } catch (error) {
    await removeSnapshot(ns, snapshotter, container).catch(() => undefined);
    throw error;
  }
  await arrival.note({ made: { ...arrival.entry.made, container: true } });
  const { options } = manifest.runtime;
  const value = options ? decodeAny(options).value : new Uint8Array();
  await createIncomingTask(ns, container, mounts, manifest.stdio, migration, value);
}

/** The container as it was at the source. */
export function containerRecord(manifest: Manifest) {
  const { options, name } = manifest.runtime;
  return {
    id: manifest.container,
    labels: manifest.labels,
    image: manifest.image.name,
    runtime: { name, ...(options ? { options: decodeAny(options) } : {}) },
    spec: decodeAny(manifest.spec),
    snapshotter: manifest.snapshotter,
    snapshotKey: manifest.container,
    extensions: Object.fromEntries(
      Object.entries(manifest.extensions).map(([key, value]) => [key, decodeAny(value)]),
    ),
    sandbox: manifest.sandbox,
  };
}

async function prepareShim(
  context: Context,
  arrival: Arrival,
  manifest: Manifest,
  pacing: Pacing,
  token: Buffer,
): Promise<number> {
  const { migration, strategy, peer } = arrival.entry;
  const { ca, cert, key } = context.config.tls;
  const shim = await ShimClient.connect(context.config, manifest.namespace, manifest.container);
  arrival.shim = shim;
  try {
    const { port } = await shim.service.DestinationPrepare(
      {
        migration,
        id: manifest.container,
        strategy,
        listenHost: context.config.listen.host,
        token,
        tls: { ca, cert, key, peerName: peer.name },
        descriptorsJson: JSON.stringify(manifest.descriptors),
        netns: manifest.network.kind === "path" ? manifest.network.path : "",
        trace: arrival.recorder !== undefined,
        cpuPercent: pacing.cpuPercent,
        stageAfter: pacing.stageAfter,
      },
      { timeoutMs: PREPARE_MS },
    );
    if (port < 1 || port > 65_535)
      throw new AgentError("SHIM", `the shim listens at the impossible port ${port}`);
    return port;
  } catch (error) {
    throw fromShim(error);
  }
}
