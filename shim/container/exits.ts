/** Turns the ends of processes into states and events, in the order that containerd relies on. */

import { messageOf } from "../errors.js";
import * as events from "../events/events.js";
import { settledWithin } from "../time.js";
import { cgroupFolders } from "./cgroup.js";
import type { Container } from "./container.js";
import type { Exit } from "./migratable.js";
import { type OomWatch, watchMemory } from "./oom.js";
import type { TaskProcess } from "./process.js";

/** Execs die with init; this is for one that the kernel cannot kill (waiting on a dead disk). */
const EXECS_MS = 30_000;
/** The longest that init's exit waits for the start event that must come before it. */
const START_MS = 120_000;
const SIGKILL = 9;

export class ExitWatch {
  readonly #container: Container;
  /** Resolves when the start event has been published, or there will be none. */
  #start: Promise<void> = Promise.resolve();
  #started: (() => void) | undefined;
  #initReaped = false;
  #override: number | undefined;

  constructor(container: Container) {
    this.#container = container;
  }

  /** True as soon as init has ended, even if that is not reported yet: no exec may start. */
  get initReaped(): boolean {
    return this.#initReaped;
  }

  /** Init's exit is held back until `startOver`, for its start event must come first. Holding twice is once. */
  holdForStart(): void {
    if (this.#started) return;
    this.#start = new Promise((resolve) => {
      this.#started = resolve;
    });
  }

  startOver(): void {
    this.#started?.();
    this.#started = undefined;
  }

  overrideInitStatus(status: number): void {
    this.#override = status;
  }

  watchInit(pid: number): void {
    const oom = this.#watchMemory(pid);
    void this.#container.env.reaper.exitOf(pid).then(async (exit) => {
      // What ended init comes before its end.
      (await oom)?.check();
      await this.#initEnded(pid, exit);
      (await oom)?.stop();
    });
  }

  /** Call after the exec-started event was published. */
  watchExec(exec: TaskProcess, pid: number): void {
    void this.#container.env.reaper.exitOf(pid).then((exit) => this.#report(exec, pid, exit));
  }

  async #initEnded(pid: number, reaped: Exit): Promise<void> {
    const { init, env, id } = this.#container;
    this.#initReaped = true;
    void this.#container.endTracking();
    await settledWithin(START_MS, this.#start);
    if (await this.#sharesPids()) await this.#killRest();
    const execs = [...this.#container.execs.values()].filter((exec) => exec.state.kind === "running");
    const over = await settledWithin(EXECS_MS, Promise.all(execs.map((exec) => exec.exited)));
    if (!over) env.log.warn({ id }, "processes added by exec outlive init");
    this.#report(init, pid, this.#override === undefined ? reaped : { ...reaped, status: this.#override });
  }

  /** Also finds the container's cgroup, which is told by a process only as long as that lives. */
  async #watchMemory(pid: number): Promise<OomWatch | undefined> {
    const { env, id } = this.#container;
    const found = cgroupFolders(pid);
    this.#container.cgroups = found.catch(() => undefined);
    try {
      return watchMemory(await found, () => env.events.publish(events.oom(id)));
    } catch (error) {
      env.log.debug({ id, error: messageOf(error) }, "running out of memory will not be noticed");
      return undefined;
    }
  }

  #report(process: TaskProcess, pid: number, exit: Exit): void {
    const { env, id } = this.#container;
    env.events.publish(events.exited(id, process.execId || id, pid, exit));
    process.setExited(exit);
  }

  /** Without a pid namespace of its own nobody kills the rest of the container. */
  async #sharesPids(): Promise<boolean> {
    const spec = await this.#container.spec();
    const pid = spec.linux?.namespaces?.find((namespace) => namespace.type === "pid");
    return !pid || (pid.path ?? "") !== "";
  }

  async #killRest(): Promise<void> {
    const { runc, id, env } = this.#container;
    await runc.kill(id, SIGKILL, { all: true }).catch((error: unknown) => {
      env.log.debug({ id, error }, "nothing left to kill");
    });
  }
}
