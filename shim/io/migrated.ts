/** Standard streams of a task that is restored by a migration: their kinds are known only then. */
import type { Stdio } from "../../runtime/runc/index.js";
import { refused } from "../errors.js";
import { PipedIo, type PipeOwner } from "./piped.js";
import type { ProcessIo, Sinks, Source } from "./types.js";

export class MigratedIo implements ProcessIo {
  readonly consoleSocket = undefined;
  readonly #source: Source | undefined;
  readonly #sinks: Sinks | undefined;
  readonly #owner: PipeOwner;
  #piped: PipedIo | undefined;
  #stdinClosed = false;

  constructor(source: Source | undefined, sinks: Sinks | undefined, owner: PipeOwner) {
    this.#source = source;
    this.#sinks = sinks;
    this.#owner = owner;
  }

  get child(): Stdio {
    if (!this.#piped) throw refused("the restored task has no standard streams yet");
    return this.#piped.child;
  }

  /**
   * @param descriptors runC's list of the source's descriptors 0-2
   * @throws ShimError when called twice
   */
  async open(descriptors: readonly string[]): Promise<Stdio> {
    if (this.#piped) throw refused("the restored task has its standard streams already");
    const isPipe = (index: number) => descriptors[index]?.startsWith("pipe:") ?? false;
    this.#piped = await PipedIo.open(
      [isPipe(0), isPipe(1), isPipe(2)],
      this.#source,
      this.#sinks,
      this.#owner,
    );
    if (this.#stdinClosed) this.#piped.closeStdin();
    return this.#piped.child;
  }

  async started(): Promise<void> {
    await this.#piped?.started();
  }

  resize(): void {}

  closeStdin(): void {
    this.#stdinClosed = true;
    this.#piped?.closeStdin();
  }

  async drained(): Promise<void> {
    await this.#piped?.drained();
  }

  async close(): Promise<void> {
    if (this.#piped) return this.#piped.close();
    this.#source?.close();
    await this.#sinks?.close();
  }
}
