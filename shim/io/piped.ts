/** Standard streams without a terminal: a pipe for each stream that is wanted, /dev/null for the others. */
import { chown, closeSync, constants, open } from "node:fs";
import { promisify } from "node:util";
import { pipe } from "#addon";
import type { Stdio } from "../../runtime/runc/index.js";
import { type Copy, copy } from "./copy.js";
import type { ProcessIo, Sink, Sinks, Source } from "./types.js";

const openFd = promisify(open) as (path: string, flags: number) => Promise<number>;
const chownPath = promisify(chown);

/** Which of the streams 0-2 are pipes. */
export type Wanted = readonly [boolean, boolean, boolean];

export interface PipeOwner {
  readonly uid: number;
  readonly gid: number;
}

export class PipedIo implements ProcessIo {
  readonly child: Stdio;
  readonly consoleSocket = undefined;
  readonly #source: Source | undefined;
  readonly #sinks: Sinks | undefined;
  readonly #copies: Copy[] = [];
  readonly #outputs: Promise<void>[] = [];
  /** The writing end of a standard input that no client feeds. */
  #heldStdin: number | undefined;
  #childOpen = true;
  #closed = false;

  private constructor(child: Stdio, source: Source | undefined, sinks: Sinks | undefined) {
    this.child = child;
    this.#source = source;
    this.#sinks = sinks;
  }

  /** @param wanted a wanted output without a sink is read and thrown away */
  static async open(
    wanted: Wanted,
    source: Source | undefined,
    sinks: Sinks | undefined,
    owner: PipeOwner,
  ): Promise<PipedIo> {
    const ends: { child: number; ours: number | undefined }[] = [];
    for (const [index, isPipe] of wanted.entries()) ends.push(await openEnd(index, isPipe, owner));
    const [input, output, errors] = ends as [(typeof ends)[0], (typeof ends)[0], (typeof ends)[0]];
    const io = new PipedIo([input.child, output.child, errors.child], source, sinks);
    io.#feed(input.ours);
    io.#drain(output.ours, sinks?.stdout);
    io.#drain(errors.ours, sinks?.stderr);
    return io;
  }

  async started(): Promise<void> {
    this.#closeChild();
  }

  resize(): void {}

  closeStdin(): void {
    this.#source?.closeWriter();
    if (this.#heldStdin !== undefined) closeSync(this.#heldStdin);
    this.#heldStdin = undefined;
  }

  async drained(): Promise<void> {
    await Promise.all(this.#outputs);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeChild();
    this.closeStdin();
    await Promise.all(this.#copies.map((each) => each.cancel()));
    this.#source?.close();
    await this.#sinks?.close();
  }

  #closeChild(): void {
    if (!this.#childOpen) return;
    this.#childOpen = false;
    for (const fd of new Set(this.child)) closeSync(fd);
  }

  #feed(ours: number | undefined): void {
    if (ours === undefined) return;
    if (!this.#source) {
      this.#heldStdin = ours;
      return;
    }
    const running = copy(this.#source.fd, ours, true);
    this.#copies.push(running);
    // The end of the client's input is the end of the process's; and a process that closed its input wants no more.
    void running.done.then(() => closeSync(ours));
  }

  #drain(ours: number | undefined, sink: Sink | undefined): void {
    if (ours === undefined) return;
    const running = copy(ours, sink?.fd);
    this.#copies.push(running);
    // At once: clients wait for the end of the stream before they delete the task.
    const ended = running.done.then(() => {
      sink?.close();
      closeSync(ours);
    });
    this.#outputs.push(ended);
  }
}

async function openEnd(
  index: number,
  isPipe: boolean,
  owner: PipeOwner,
): Promise<{ child: number; ours: number | undefined }> {
  if (!isPipe) {
    const mode = index === 0 ? constants.O_RDONLY : constants.O_WRONLY;
    return { child: await openFd("/dev/null", mode), ours: undefined };
  }
  const [read, write] = pipe();
  const [child, ours] = index === 0 ? [read, write] : [write, read];
  // A container's process must be able to open /dev/stdout again.
  if (owner.uid !== 0 || owner.gid !== 0) await chownPath(`/proc/self/fd/${child}`, owner.uid, owner.gid);
  return { child, ours };
}
