/** Standard streams without a terminal: a pipe for each stream that is wanted, /dev/null for the others. */
import { chown, closeSync, constants, open } from "node:fs";
import { promisify } from "node:util";
import { pipe } from "#addon";
import type { Stdio } from "../../runtime/runc/index.js";
import { type Copy, copy } from "./copy.js";
import { closeAll } from "./descriptors.js";
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
    const [input, output, errors] = await openEnds(wanted, owner);
    const io = new PipedIo([input.child, output.child, errors.child], source, sinks);
    const unused = new Set([input.ours, output.ours, errors.ours]);
    try {
      io.#feed(input.ours, unused);
      io.#drain(output.ours, sinks?.stdout, unused);
      io.#drain(errors.ours, sinks?.stderr, unused);
      return io;
    } catch (error) {
      closeAll(unused);
      await io.close();
      throw error;
    }
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

  /** @param unused loses what is in use now */
  #feed(ours: number | undefined, unused: Set<number | undefined>): void {
    if (ours === undefined) return;
    if (!this.#source) {
      unused.delete(ours);
      this.#heldStdin = ours;
      return;
    }
    // The end of the client's input is the end of the process's; and a process that closed its input wants no more.
    this.#copies.push(copy(this.#source.fd, ours, true));
    unused.delete(ours);
    closeSync(ours);
    this.#source.handOver();
  }

  #drain(ours: number | undefined, sink: Sink | undefined, unused: Set<number | undefined>): void {
    if (ours === undefined) return;
    const running = copy(ours, sink?.fd);
    unused.delete(ours);
    closeSync(ours);
    // Only the copy holds it now. So its end reaches a client at once, who waits for it before deleting the task.
    sink?.handOver();
    this.#copies.push(running);
    this.#outputs.push(running.done.then(() => sink?.close()));
  }
}

interface Pipe {
  readonly child: number;
  readonly ours: number | undefined;
}

async function openEnds(wanted: Wanted, owner: PipeOwner): Promise<[Pipe, Pipe, Pipe]> {
  const pipes: Pipe[] = [];
  try {
    for (const [index, isPipe] of wanted.entries()) pipes.push(await openEnd(index, isPipe, owner));
    return pipes as [Pipe, Pipe, Pipe];
  } catch (error) {
    closeAll(pipes.flatMap(({ child, ours }) => [child, ours]));
    throw error;
  }
}

async function openEnd(index: number, isPipe: boolean, owner: PipeOwner): Promise<Pipe> {
  if (!isPipe) {
    const mode = index === 0 ? constants.O_RDONLY : constants.O_WRONLY;
    return { child: await openFd("/dev/null", mode), ours: undefined };
  }
  const [read, write] = pipe();
  const [child, ours] = index === 0 ? [read, write] : [write, read];
  try {
    // A container's process must be able to open /dev/stdout again.
    if (owner.uid !== 0 || owner.gid !== 0) await chownPath(`/proc/self/fd/${child}`, owner.uid, owner.gid);
    return { child, ours };
  } catch (error) {
    closeAll([child, ours]);
    throw error;
  }
}
