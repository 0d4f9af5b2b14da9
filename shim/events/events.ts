/** The events of a task: one constructor each, giving the topic and the packed message. */
import { containerd } from "#protos/shim";
import type { Exit } from "../container/migratable.js";
import { type Any, anyOf, type Mount, timestampOf } from "../wire.js";

const { events } = containerd;

export interface TaskEvent {
  readonly topic: string;
  readonly payload: Any;
  /** Unix time, ms. */
  readonly at: number;
}

export interface CreatedTask {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: Mount[];
  readonly stdio: { stdin: string; stdout: string; stderr: string; terminal: boolean };
  readonly checkpoint: string;
  readonly pid: number;
}

export function created(task: CreatedTask): TaskEvent {
  const { id, bundle, rootfs, stdio, checkpoint, pid } = task;
  const message = { containerId: id, bundle, rootfs, io: stdio, checkpoint, pid };
  return event("/tasks/create", "TaskCreate", events.TaskCreate, message);
}

export function started(containerId: string, pid: number): TaskEvent {
  return event("/tasks/start", "TaskStart", events.TaskStart, { containerId, pid });
}

/** @param id the container's id for its init, else the exec's */
export function exited(containerId: string, id: string, pid: number, exit: Exit): TaskEvent {
  const message = { containerId, id, pid, exitStatus: exit.status, exitedAt: timestampOf(exit.at) };
  return event("/tasks/exit", "TaskExit", events.TaskExit, message);
}

/** @param exit undefined of a task that was never started */
export function deleted(containerId: string, pid: number, exit: Exit | undefined): TaskEvent {
  const end = exit ? { exitStatus: exit.status, exitedAt: timestampOf(exit.at) } : {};
  const message = { containerId, pid, ...end };
  return event("/tasks/delete", "TaskDelete", events.TaskDelete, message);
}

export function execAdded(containerId: string, execId: string): TaskEvent {
  return event("/tasks/exec-added", "TaskExecAdded", events.TaskExecAdded, { containerId, execId });
}

export function execStarted(containerId: string, execId: string, pid: number): TaskEvent {
  return event("/tasks/exec-started", "TaskExecStarted", events.TaskExecStarted, {
    containerId,
    execId,
    pid,
  });
}

export function paused(containerId: string): TaskEvent {
  return event("/tasks/paused", "TaskPaused", events.TaskPaused, { containerId });
}

export function resumed(containerId: string): TaskEvent {
  return event("/tasks/resumed", "TaskResumed", events.TaskResumed, { containerId });
}

export function oom(containerId: string): TaskEvent {
  return event("/tasks/oom", "TaskOOM", events.TaskOOM, { containerId });
}

export function checkpointed(containerId: string, checkpoint: string): TaskEvent {
  return event("/tasks/checkpointed", "TaskCheckpointed", events.TaskCheckpointed, {
    containerId,
    checkpoint,
  });
}

function event<T>(
  topic: string,
  name: string,
  type: { encode(message: T): { finish(): Uint8Array } },
  message: T,
): TaskEvent {
  return { topic, payload: anyOf(`containerd.events.${name}`, type, message), at: Date.now() };
}
