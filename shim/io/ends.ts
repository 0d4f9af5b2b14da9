/** The outer ends of a process's streams: descriptors of the shim that a copy takes over. */
import { closeSync } from "node:fs";
import type { Sink, Source } from "./types.js";

/** A descriptor that is closed once, by whoever comes first. */
class Owned {
  #fd: number | undefined;

  constructor(fd: number | undefined) {
    this.#fd = fd;
  }

  get fd(): number {
    if (this.#fd === undefined) throw new Error("the stream has been given away");
    return this.#fd;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}

/** @param reader of a fifo: without one the process would fail when its client is away */
export function sinkOf(fd: number, reader?: number): Sink {
  const own = new Owned(fd);
  const kept = new Owned(reader);
  return {
    get fd() {
      return own.fd;
    },
    handOver: () => own.close(),
    close: () => {
      own.close();
      kept.close();
    },
  };
}

/** @param writer of a fifo: a client may leave and another one come */
export function sourceOf(fd: number, writer: number): Source {
  const own = new Owned(fd);
  const kept = new Owned(writer);
  return {
    get fd() {
      return own.fd;
    },
    handOver: () => own.close(),
    closeWriter: () => kept.close(),
    close: () => {
      own.close();
      kept.close();
    },
  };
}
