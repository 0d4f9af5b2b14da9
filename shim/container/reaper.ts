/**
 * Collects the ends of processes that are children of this process without Node knowing them: containers'
 * init and execs, reparented to the shim (a subreaper) when the runC that started them has ended.
 */

import type { ChildProcess } from "node:child_process";
import { channel, subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Exit } from "./migratable.js";

export interface ReapedChild {
  readonly pid: number;
  /** The exit code, or 128 + signal. */
  readonly status: number;
}

/** Collects every zombie child except those in `owned`, without waiting. */
export type ReapFunction = (owned: ReadonlySet<number>) => ReapedChild[];

/** SIGCHLD tells of every end; this is for what a blocked collection has left. */
const SWEEP_MS = 1000;

export class Reaper {
  readonly #reap: ReapFunction;
  readonly #nodeChildren = new Set<ChildProcess>();
  readonly #waiting = new Map<number, (exit: Exit) => void>();
  /** Ends of processes whose pid nobody has named yet. Kept only while a start is under way. */
  readonly #early = new Map<number, Exit>();
  #starts = 0;
  #sweep: NodeJS.Timeout | undefined;

  constructor(reap: ReapFunction) {
    this.#reap = reap;
  }

  start(): void {
    channel("child_process");
    subscribe("child_process", this.#onSpawn);
    process.on("SIGCHLD", this.#onSignal);
  }

  stop(): void {
    unsubscribe("child_process", this.#onSpawn);
    process.off("SIGCHLD", this.#onSignal);
    clearInterval(this.#sweep);
  }

  /**
   * Brackets the start of a process whose pid is not known yet. Until `done` is called, ends of unknown
   * processes are remembered, so that `exitOf` sees also an end that came first.
   */
  expectStart(): { done(): void } {
    this.#starts++;
    let open = true;
    return {
      done: () => {
        if (!open) return;
        open = false;
        // Without a start under way an old end could only be taken for that of a reused pid.
        if (--this.#starts === 0) this.#early.clear();
      },
    };
  }

  /** Resolves with the end of `pid`, once. Not bounded: a container runs as long as it likes. */
  exitOf(pid: number): Promise<Exit> {
    this.#sweep ??= setInterval(this.#collect, SWEEP_MS).unref();
    const early = this.#early.get(pid);
    if (early) {
      this.#early.delete(pid);
      return Promise.resolve(early);
    }
    return new Promise((resolve) => this.#waiting.set(pid, resolve));
  }

  readonly #onSpawn = (message: unknown): void => {
    const child = (message as { process: ChildProcess }).process;
    this.#nodeChildren.add(child);
    const forget = () => this.#nodeChildren.delete(child);
    child.once("exit", forget);
    child.once("error", () => {
      // Also emitted when a signal could not be sent: only a child that never was is forgotten.
      if (child.pid === undefined) forget();
    });
  };

  readonly #onSignal = (): void => {
    // After this turn of the event loop Node has collected its own, which then hide nobody.
    setImmediate(this.#collect);
  };

  readonly #collect = (): void => {
    const owned = new Set<number>();
    for (const child of this.#nodeChildren) if (child.pid !== undefined) owned.add(child.pid);
    for (const { pid, status } of this.#reap(owned)) this.#ended(pid, { status, at: Date.now() });
  };

  #ended(pid: number, exit: Exit): void {
    const waiting = this.#waiting.get(pid);
    if (waiting) {
      this.#waiting.delete(pid);
      waiting(exit);
    } else if (this.#starts > 0) {
      this.#early.set(pid, exit);
    }
  }
}
