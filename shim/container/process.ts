/** One process that containerd knows: a container's init, or one added by exec. */
import { wrongState } from "../errors.js";
import type { ProcessIo, StdioPaths } from "../io/types.js";
import type { Exit } from "./migratable.js";

export type ProcessState =
  /** Not started by the user yet. Init may have a pid already: runC's, waiting for the start. */
  | { readonly kind: "created" }
  | { readonly kind: "running" }
  | { readonly kind: "stopped"; readonly exit: Exit };

export class TaskProcess {
  /** The exec's id; empty for init. */
  readonly execId: string;
  readonly stdio: StdioPaths;
  /** 0 while there is none; stays after the end. */
  pid = 0;
  io: ProcessIo | undefined;
  /** The terminal's size as last asked for, kept until there is a terminal. */
  #size: { columns: number; rows: number } | undefined;
  #state: ProcessState = { kind: "created" };
  #resolveExit: (exit: Exit | undefined) => void = () => {};
  /** Resolves with the end of the process; with nothing when it could not be started. */
  readonly exited: Promise<Exit | undefined>;

  constructor(execId: string, stdio: StdioPaths) {
    this.execId = execId;
    this.stdio = stdio;
    this.exited = new Promise((resolve) => {
      this.#resolveExit = resolve;
    });
  }

  get state(): ProcessState {
    return this.#state;
  }

  /** @throws ShimError when it has been started before */
  mustBeStartable(): void {
    if (this.#state.kind !== "created")
      throw wrongState(`cannot start a process that is ${this.#state.kind}`);
  }

  setRunning(pid: number): void {
    this.pid = pid;
    if (this.#state.kind === "created") this.#state = { kind: "running" };
  }

  setExited(exit: Exit): void {
    if (this.#state.kind === "stopped") return;
    this.#state = { kind: "stopped", exit };
    this.#resolveExit(exit);
  }

  /** A start failed: who waits for the end is released, the process stays as it was. */
  neverRan(): void {
    this.#resolveExit(undefined);
  }

  attach(io: ProcessIo): void {
    this.io = io;
    if (this.#size) io.resize(this.#size.columns, this.#size.rows);
  }

  resize(columns: number, rows: number): void {
    this.#size = { columns, rows };
    this.io?.resize(columns, rows);
  }
}
