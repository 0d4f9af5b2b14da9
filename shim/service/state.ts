/** The answer to State. */
import { containerd } from "#protos/shim";
import type { Container } from "../container/container.js";
import type { ContainerState } from "../container/migratable.js";
import type { TaskProcess } from "../container/process.js";
import { timestampOf } from "../wire.js";

const { Status } = containerd.v1.types;

const STATUS: Record<ContainerState, containerd.v1.types.Status> = {
  created: Status.CREATED,
  running: Status.RUNNING,
  stopped: Status.STOPPED,
  paused: Status.PAUSED,
  pausing: Status.PAUSING,
};

/** @throws ShimError NOT_FOUND */
export function stateOf(container: Container, execId: string): containerd.task.v2.StateResponse.$Properties {
  const process = container.process(execId);
  const { stdin, stdout, stderr, terminal } = process.stdio;
  const exit = process.state.kind === "stopped" ? process.state.exit : undefined;
  return {
    // Of an exec its own id, as the runc shim has it.
    id: execId || container.id,
    bundle: container.bundle,
    pid: process.pid,
    status: STATUS[kindOf(container, process)],
    stdin,
    stdout,
    stderr,
    terminal,
    exitStatus: exit?.status ?? 0,
    exitedAt: exit ? timestampOf(exit.at) : null,
  };
}

/** The freezer stops execs together with init; what is not running is told as paused too. */
function kindOf(container: Container, process: TaskProcess): ContainerState {
  const whole = container.state();
  const frozen = whole === "paused" || whole === "pausing";
  return process === container.init || frozen ? whole : process.state.kind;
}
