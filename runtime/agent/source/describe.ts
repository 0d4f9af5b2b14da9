/** The container that shall move, as it is now. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Namespace } from "../containerd/client.js";
import { snapshotInfo, snapshotMounts, upperDir } from "../containerd/snapshots.js";
import { type Container, getTask, type Task, taskPids } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { describeImage } from "../image/source.js";
import { encodeAny, type Manifest, type Network } from "../manifest.js";
import { describeNetwork } from "../network/describe.js";
import { findOurs } from "../ours.js";
import { type Layer, scan } from "../rootfs/scan.js";
import { bundlePath } from "../shim-client.js";
import { bindMounts, memoryLimit, namespaceOf, parseSpec, type Spec } from "../spec.js";
import { arch, cpuFeatures, criuVersion, kernel } from "../system.js";
import { stdioLinks } from "./stdio-links.js";

/** A container that runs here, in containerd's words. */
export interface Subject {
  readonly ns: Namespace;
  readonly id: string;
  readonly container: Container;
  readonly spec: Spec;
  readonly task: Task;
  readonly pids: readonly number[];
}

/**
 * Finds a running container of our runtime.
 * @param or another state in which it may be
 * @throws AgentError CONTAINER_NOT_FOUND, REFUSED
 */
export async function findSubject(
  context: Context,
  namespace: string,
  id: string,
  or?: "paused",
): Promise<Subject> {
  const ns = context.containerd.namespace(namespace);
  const container = await findOurs(ns, id, { foreign: ", which cannot migrate" });
  const task = await getTask(ns, id);
  if (task === undefined || task.pid === 0 || (task.status !== "running" && task.status !== or)) {
    throw new AgentError("REFUSED", `${id} is not running (${task?.status ?? "no task"})`, {
      remedy: "start or resume it; a stopped container needs no live migration",
    });
  }
  const spec = parseSpec(container.spec?.value ?? new Uint8Array());
  return { ns, id, container, spec, task, pids: await taskPids(ns, id) };
}

/** The path of the network namespace to lock and move; empty: none. */
export function netnsOf(network: Network): string {
  return network.kind === "path" ? network.path : "";
}

/** The writable layer of the container and what is below it. */
export async function writableLayer(context: Context, subject: Subject): Promise<Layer> {
  const { container, ns, id } = subject;
  const mounts = await snapshotMounts(ns, container.snapshotter, container.snapshotKey);
  const lower =
    mounts[0]?.options?.find((one) => one.startsWith("lowerdir="))?.slice("lowerdir=".length) ?? "";
  const merged = join(bundlePath(context.config, ns.name, id), "rootfs");
  return { upper: upperDir(mounts), lowers: lower === "" ? [] : lower.split(":"), merged };
}

/** @throws AgentError REFUSED when something about it cannot move */
export async function describeContainer(context: Context, subject: Subject): Promise<Manifest> {
  const { config } = context;
  const { container, ns, spec, task } = subject;
  if (container.snapshotKey === "") {
    throw new AgentError("REFUSED", "the container's root file system is not a snapshot of containerd", {
      remedy: "run it from an image, without --rootfs",
    });
  }
  const snapshotter = container.snapshotter || config.containerd.snapshotter;
  const snapshot = await snapshotInfo(ns, snapshotter, container.snapshotKey);
  const [image, network, layer, criu] = await Promise.all([
    describeImage(ns, container.image, snapshot?.parent ?? ""),
    subjectNetwork(spec),
    writableLayer(context, subject),
    criuVersion(config),
  ]);
  const limit = memoryLimit(spec);
  const options = container.runtime?.options;
  return {
    version: 1,
    agent: { host: config.host, port: config.listen.port },
    namespace: ns.name,
    container: subject.id,
    labels: container.labels,
    image,
    runtime: {
      name: container.runtime?.name ?? "",
      ...(options?.type_url ? { options: encodeAny(options) } : {}),
    },
    spec: encodeAny(container.spec),
    extensions: Object.fromEntries(
      Object.entries(container.extensions).map(([key, value]) => [key, encodeAny(value)]),
    ),
    sandbox: container.sandbox,
    snapshotter,
    stdio: {
      stdin: "",
      stdout: portable(task.stdio.stdout),
      stderr: portable(task.stdio.stderr),
    },
    descriptors: stdioLinks(bundlePath(config, ns.name, subject.id), ns.name, subject.id, task.pid),
    network,
    binds: bindMounts(spec).map((bind) => ({ ...bind, kind: kindOf(bind.source) })),
    memory: { resident: residentBytes(subject.pids), ...(limit === undefined ? {} : { limit }) },
    writable: [...(await scan(layer.upper)).values()].reduce((sum, entry) => sum + entry.size, 0),
    system: { kernel: kernel(), arch: arch(), cpu: cpuFeatures(), criu: criu ?? "" },
  };
}

async function subjectNetwork(spec: Spec): Promise<Network> {
  const where = namespaceOf(spec, "network");
  if (where.kind === "host") return { kind: "host" };
  if (where.kind === "own") return { kind: "private" };
  return describeNetwork(where.path);
}

/** Fifos end at a client of containerd here; files and logging programs exist on the other host as well. */
function portable(uri: string): string {
  return /^(file|binary):\/\//.test(uri) ? uri : "";
}

function kindOf(path: string): "file" | "folder" | "other" {
  try {
    const stats = statSync(path);
    return stats.isDirectory() ? "folder" : stats.isFile() ? "file" : "other";
  } catch {
    return "other";
  }
}

/** Bytes of memory that the processes have in RAM; what they share is counted for each. */
function residentBytes(pids: readonly number[]): number {
  let sum = 0;
  for (const pid of pids) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, "utf8");
      for (const name of ["RssAnon", "RssShmem"]) {
        sum += Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024;
      }
    } catch {
      // ended meanwhile
    }
  }
  return sum;
}
