/** Containers and their tasks. */
import { type containerd, pclive } from "#protos/agent";
import { AgentError } from "../errors.js";
import { isAlreadyThere, isNotFound, type Namespace, unless } from "./client.js";
import { rpc } from "./methods.js";
import type { Mount } from "./snapshots.js";

export type Container = containerd.services.containers.v1.Container;
export type NewContainer = containerd.services.containers.v1.IContainer;
export type TaskStatus = "unknown" | "created" | "running" | "stopped" | "paused" | "pausing";

export interface Task {
  readonly pid: number;
  readonly status: TaskStatus;
  readonly stdio: {
    readonly stdin: string;
    readonly stdout: string;
    readonly stderr: string;
    readonly terminal: boolean;
  };
}

const RUNC_OPTIONS = "containerd.runc.v1.Options";

const STATUS: readonly TaskStatus[] = ["unknown", "created", "running", "stopped", "paused", "pausing"];
const SIGKILL = 9;
const START_TIMEOUT_MS = 60_000;
const CREATE_TIMEOUT_MS = 60_000;
const DELETE_TIMEOUT_MS = 30_000;

/** @returns undefined when there is none of that name */
export async function getContainer(ns: Namespace, id: string): Promise<Container | undefined> {
  try {
    return (await ns.call(rpc.containers.get, { id })).container as Container;
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** Containers that carry a label, whatever its value. */
export async function containersWithLabel(ns: Namespace, label: string): Promise<Container[]> {
  const { containers } = await ns.call(rpc.containers.list, { filters: [`labels.${JSON.stringify(label)}`] });
  return containers as Container[];
}

/** @throws AgentError REFUSED when the name is taken */
export async function createContainer(ns: Namespace, container: NewContainer): Promise<void> {
  try {
    await ns.call(rpc.containers.create, { container });
  } catch (error) {
    if (!isAlreadyThere(error)) throw error;
    throw new AgentError("REFUSED", `a container named ${container.id} exists here already`, {
      remedy: "remove or rename one of the two",
      cause: error,
    });
  }
}

/** Deletes a container's record; none of that name is fine. */
export async function deleteContainer(ns: Namespace, id: string): Promise<void> {
  await ns.call(rpc.containers.delete, { id }).catch(unless(isNotFound));
}

/** @returns undefined when the container has no task */
export async function getTask(ns: Namespace, id: string): Promise<Task | undefined> {
  try {
    const { process } = await ns.call(rpc.tasks.get, { containerId: id });
    return {
      pid: process?.pid ?? 0,
      status: STATUS[process?.status ?? 0] ?? "unknown",
      stdio: {
        stdin: process?.stdin ?? "",
        stdout: process?.stdout ?? "",
        stderr: process?.stderr ?? "",
        terminal: process?.terminal ?? false,
      },
    };
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** All processes of a task, as the agent's own pid namespace numbers them. */
export async function taskPids(ns: Namespace, id: string): Promise<number[]> {
  const { processes } = await ns.call(rpc.tasks.listPids, { containerId: id });
  return processes.map((one) => one.pid ?? 0).filter((pid) => pid > 0);
}

/**
 * Creates a task that waits to be restored by a migration.
 * @param options the encoded containerd.runc.v1.Options of the container; empty: none
 */
export async function createIncomingTask(
  ns: Namespace,
  id: string,
  rootfs: readonly Mount[],
  stdio: { stdin: string; stdout: string; stderr: string },
  migration: string,
  options: Uint8Array,
): Promise<void> {
  const value = Buffer.concat([options, pclive.shim.v1.IncomingOptions.encode({ migration }).finish()]);
  await createTask(ns, id, rootfs, stdio, value);
}

/** @param options encoded containerd.runc.v1.Options: they may name an image to restore */
export async function createTask(
  ns: Namespace,
  id: string,
  rootfs: readonly Mount[],
  stdio: { stdin: string; stdout: string; stderr: string },
  options: Uint8Array,
): Promise<void> {
  await ns.call(
    rpc.tasks.create,
    { containerId: id, rootfs: [...rootfs], ...stdio, options: { type_url: RUNC_OPTIONS, value: options } },
    { timeoutMs: CREATE_TIMEOUT_MS },
  );
}

export async function startTask(ns: Namespace, id: string, timeoutMs = START_TIMEOUT_MS): Promise<number> {
  return (await ns.call(rpc.tasks.start, { containerId: id }, { timeoutMs })).pid;
}

/** Waits for the exit of a task's init; a task that is gone has exited. False when it took longer. */
export async function waitForExit(
  ns: Namespace,
  id: string,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const task = await getTask(ns, id);
  if (task === undefined || task.status === "stopped") return true;
  try {
    await ns.call(rpc.tasks.wait, { containerId: id }, { timeoutMs, ...(signal ? { signal } : {}) });
    return true;
  } catch (error) {
    return isNotFound(error);
  }
}

export async function pauseTask(ns: Namespace, id: string): Promise<void> {
  await ns.call(rpc.tasks.pause, { containerId: id });
}

export async function resumeTask(ns: Namespace, id: string): Promise<void> {
  await ns.call(rpc.tasks.resume, { containerId: id });
}

/** Ends a task, paused or not, and waits for its exit. It stays until somebody deletes it. @throws AgentError */
export async function killTask(ns: Namespace, id: string): Promise<void> {
  await ns.call(rpc.tasks.kill, { containerId: id, signal: SIGKILL, all: true });
  // What is frozen meets the signal when it is thawed, before anything else.
  await ns.call(rpc.tasks.resume, { containerId: id }).catch(() => undefined);
  if (await waitForExit(ns, id, DELETE_TIMEOUT_MS)) return;
  throw new AgentError("CONTAINERD", `${id} does not end`, { remedy: "look at containerd's log" });
}

/** Kills and deletes a task; none is fine. */
export async function removeTask(ns: Namespace, id: string): Promise<void> {
  const task = await getTask(ns, id);
  if (task === undefined) return;
  if (task.status !== "stopped") {
    const request = { containerId: id, signal: SIGKILL, all: true };
    const killed = await ns.call(rpc.tasks.kill, request).then(
      () => true,
      () => false,
    );
    // A task whose restore has failed is "created" for ever, without a process that could exit.
    if (killed || task.status !== "created") await waitForExit(ns, id, DELETE_TIMEOUT_MS);
  }
  await ns
    .call(rpc.tasks.delete, { containerId: id }, { timeoutMs: DELETE_TIMEOUT_MS })
    .catch(unless(isNotFound));
}
