/**
 * Standard streams of a task that is to be restored from a checkpoint: opened at its start. Nobody writes before that,
 * and a client that gives up in between waits for the end of its fifos before it deletes the task.
 */
import type { Stdio } from "../../runtime/runc/index.js";
import { refused } from "../errors.js";
import type { ProcessIo } from "./types.js";

export class DeferredIo implements ProcessIo {
  readonly #make: () => Promise<ProcessIo>;
  #io: ProcessIo | undefined;
  #size: { readonly columns: number; readonly rows: number } | undefined;
  #stdinClosed = false;
  #closed = false;

  constructor(make: () => Promise<ProcessIo>) {
    this.#make = make;
  }

  get child(): Stdio {
    if (!this.#io) throw refused("the streams are not open yet");
    return this.#io.child;
  }

  get consoleSocket(): string | undefined {
    return this.#io?.consoleSocket;
  }

  async open(): Promise<void> {
    const io = await this.#make();
    if (this.#closed) {
      await io.close();
      throw refused("the task is being deleted");
    }
    this.#io = io;
    if (this.#size) io.resize(this.#size.columns, this.#size.rows);
    if (this.#stdinClosed) io.closeStdin();
  }

  /** The start has failed: as before `open`. */
  async reset(): Promise<void> {
    const io = this.#io;
    this.#io = undefined;
    await io?.close();
  }

  async started(): Promise<void> {
    await this.#io?.started();
  }

  resize(columns: number, rows: number): void {
    this.#size = { columns, rows };
    this.#io?.resize(columns, rows);
  }

  closeStdin(): void {
    this.#stdinClosed = true;
    this.#io?.closeStdin();
  }

  async drained(): Promise<void> {
    await this.#io?.drained();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.reset();
  }
}
