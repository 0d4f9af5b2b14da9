/** Start, kill and delete: what ends or begins a process. */

import { RuncError } from "../../runtime/runc/index.js";
import { leaveDeleteAnswer } from "../bundle/deleted.js";
import { rootfsOf } from "../bundle/files.js";
import { errnoOf, messageOf, notFound, refused, wrongState } from "../errors.js";
import * as events from "../events/events.js";
import { settledWithin } from "../time.js";
import type { Container } from "./container.js";
import { startExec } from "./exec.js";
import type { Exit } from "./migratable.js";
import type { TaskProcess } from "./process.js";
import { unmountRootfs } from "./rootfs.js";

/** For output that a process left in a pipe which somebody else still holds. */
const DRAIN_MS = 10_000;
/** From runC's kill of a created init to its exit being reported. */
const KILLED_MS = 10_000;

/** @returns the pid */
export async function startProcess(container: Container, execId: string): Promise<number> {
  const process = container.process(execId);
  return process === container.init ? startInit(container) : startExec(container, process);
}

async function startInit(container: Container): Promise<number> {
  const { init, source, exits, env, id } = container;
  init.mustBeStartable();
  const { io } = init;
  if (!io) throw refused("the task has no standard streams");
  // A task that a migration brings must be deletable while it waits.
  const run = () => source.start(io, init.pid);
  const expected = env.reaper.expectStart();
  exits.holdForStart();
  try {
    const pid = container.incoming() ? await run() : await container.exclusive("start", run);
    const isNew = init.pid === 0;
    init.setRunning(pid);
    env.events.publish(events.started(id, pid));
    if (isNew) exits.watchInit(pid);
    return pid;
  } finally {
    expected.done();
    exits.startOver();
  }
}

/** @throws ShimError NOT_FOUND when the process has ended, FAILED_PRECONDITION when an exec was not started */
export async function killProcess(
  container: Container,
  execId: string,
  signal: number,
  all: boolean,
): Promise<void> {
  const process = container.process(execId);
  if (process !== container.init) return killExec(process, signal);
  await container.moves.makeWay({ kind: "kill", signal });
  // Of a container that shares its pid namespace something may run on without init.
  if (process.pid === 0 || (process.state.kind === "stopped" && !all))
    throw notFound("process already finished: not found");
  try {
    await container.runc.kill(container.id, signal, { all });
  } catch (error) {
    const gone =
      error instanceof RuncError && (error.code === "PROCESS_GONE" || error.code === "CONTAINER_NOT_FOUND");
    throw gone ? notFound(`${messageOf(error)}: not found`) : error;
  }
}

function killExec(exec: TaskProcess, signal: number): void {
  if (exec.state.kind === "stopped") throw notFound("process already finished: not found");
  if (exec.pid === 0) throw refused("process not created");
  try {
    process.kill(exec.pid, signal);
  } catch (error) {
    throw errnoOf(error) === "ESRCH" ? notFound("process already finished: not found") : error;
  }
}

export interface Deleted {
  readonly pid: number;
  /** undefined of what was never started, although runC may have had to kill it. */
  readonly exit: Exit | undefined;
}

/** @throws ShimError while it runs, NOT_FOUND when it is deleted already */
export async function deleteProcess(container: Container, execId: string): Promise<Deleted> {
  const process = container.process(execId);
  return process === container.init ? deleteInit(container) : deleteExec(container, process);
}

async function deleteExec(container: Container, exec: TaskProcess): Promise<Deleted> {
  if (exec.state.kind === "running") throw wrongState("cannot delete a running process");
  await closeIo(exec);
  container.execs.delete(exec.execId);
  return { pid: exec.pid, exit: exec.state.kind === "stopped" ? exec.state.exit : undefined };
}

async function deleteInit(container: Container): Promise<Deleted> {
  const { init, env, id, bundle } = container;
  await container.moves.makeWay({ kind: "delete" });
  await container.tracking.end();
  await dropIncoming(container);
  await container.source.drop?.();
  return container.exclusive("delete", async () => {
    if (container.deleted) throw notFound(`container ${id} has been deleted`);
    const exit = init.state.kind === "stopped" ? init.state.exit : undefined;
    if (init.state.kind === "running")
      throw wrongState(`cannot delete a container that is ${container.state()}`);
    if (init.state.kind === "stopped") await settledWithin(DRAIN_MS, init.io?.drained() ?? Promise.resolve());
    await forget(container);
    // runC kills an init that waits for its start.
    if (init.pid !== 0) await settledWithin(KILLED_MS, init.exited);
    await closeIo(init);
    for (const exec of container.execs.values()) await closeIo(exec);
    await unmountRootfs(rootfsOf(bundle));
    container.deleted = true;
    leaveDeleteAnswer(bundle, init.pid);
    env.events.publish(events.deleted(id, init.pid, exit));
    return { pid: init.pid, exit };
  });
}

/** Releases a Start that waits for a migration; without effect once its processes are here. */
async function dropIncoming(container: Container): Promise<void> {
  if (container.init.pid !== 0) return;
  await container
    .incoming()
    ?.failed({ code: "CANCELLED", message: "the task was deleted", remedy: "migrate again" });
}

/** After a checkpoint with exit, and for a task that never had processes, runC knows nothing: that is fine. */
async function forget(container: Container): Promise<void> {
  try {
    await container.runc.delete(container.id);
  } catch (error) {
    if (!(error instanceof RuncError) || error.code !== "CONTAINER_NOT_FOUND") throw error;
  }
}

async function closeIo(process: TaskProcess): Promise<void> {
  if (!process.io) return;
  if (process.state.kind === "stopped") await settledWithin(DRAIN_MS, process.io.drained());
  await process.io.close();
}
