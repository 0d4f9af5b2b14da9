/** Processes added to a running container. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readPidFile } from "../bundle/files.js";
import { refused, ShimError, wrongState } from "../errors.js";
import * as events from "../events/events.js";
import { openProcessIo } from "../io/open.js";
import type { ProcessIo, StdioPaths } from "../io/types.js";
import type { Container } from "./container.js";
import { execProcess } from "./exec-process.js";
import { runtimeFailure, streamFailure } from "./init.js";
import { TaskProcess } from "./process.js";

/** What Exec registers: the streams and the OCI process that Start will run. */
class ExecProcess extends TaskProcess {
  readonly spec: string;

  constructor(execId: string, stdio: StdioPaths, spec: string) {
    super(execId, stdio);
    this.spec = spec;
  }
}

/**
 * Only registers it; Start runs it.
 * @param spec OCI process, JSON
 * @throws ShimError ALREADY_EXISTS, FAILED_PRECONDITION, INVALID_ARGUMENT
 */
export function addExec(container: Container, execId: string, stdio: StdioPaths, spec: string): void {
  container.moves.mustBeFree("exec");
  if (container.execs.has(execId)) {
    throw new ShimError("ALREADY_EXISTS", `process ${execId} exists already`, "choose another exec id");
  }
  const state = container.state();
  if (state === "paused" || state === "pausing" || state === "stopped")
    throw wrongState(`cannot exec in a ${state} container`);
  if (state === "created" && container.init.pid === 0)
    throw wrongState("cannot exec in a container to be restored");
  container.execs.set(execId, new ExecProcess(execId, stdio, execProcess(spec, stdio.terminal)));
  container.env.events.publish(events.execAdded(container.id, execId));
}

/** @returns the pid */
export async function startExec(container: Container, exec: TaskProcess): Promise<number> {
  if (!(exec instanceof ExecProcess)) throw refused("not an exec");
  return container.exclusive("exec", async () => {
    exec.mustBeStartable();
    container.moves.mustBeFree("exec");
    const expected = container.env.reaper.expectStart();
    try {
      if (container.exits.initReaped) throw refused("container is stopped", "none: its init has ended");
      const pid = await run(container, exec);
      exec.setRunning(pid);
      container.env.events.publish(events.execStarted(container.id, exec.execId, pid));
      container.exits.watchExec(exec, pid);
      return pid;
    } catch (error) {
      exec.neverRan();
      throw error;
    } finally {
      expected.done();
    }
  });
}

async function run(container: Container, exec: ExecProcess): Promise<number> {
  const { bundle, runc, id, namespace, options } = container;
  const base = join(bundle, encodeURIComponent(exec.execId));
  const pidFile = `${base}.pid`;
  const processFile = `${base}-process.json`;
  // To a logging program an exec's own id is that of the container, as with the runc shim.
  const owner = { namespace, id: exec.execId };
  const io = await openProcessIo(exec.stdio, owner, options).catch(streamFailure);
  try {
    writeFileSync(processFile, exec.spec, { mode: 0o600 });
    await runc.exec(id, {
      processFile,
      pidFile,
      stdio: io.child,
      ...(io.consoleSocket ? { consoleSocket: io.consoleSocket } : {}),
    });
    exec.attach(io);
    return await pidOf(io, pidFile);
  } catch (error) {
    exec.io = undefined;
    await io.close();
    throw runtimeFailure("exec", error);
  } finally {
    rmSync(processFile, { force: true });
    rmSync(pidFile, { force: true });
  }
}

async function pidOf(io: ProcessIo, pidFile: string): Promise<number> {
  await io.started();
  const pid = readPidFile(pidFile);
  if (pid === undefined)
    throw new ShimError("UNKNOWN", "runC has written no pid", "use a released runC, 1.1 or later");
  return pid;
}
