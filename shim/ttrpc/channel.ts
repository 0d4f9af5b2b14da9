/** A socket that speaks frames; what server and client connections have in common. */
import { setMaxListeners } from "node:events";
import { Code, TtrpcError } from "./errors.js";
import { encodeFrame, type Frame, FrameDecoder, type OversizedFrame } from "./frame.js";
import type { ByteSocket } from "./transport.js";

export type FrameHandler = (frame: Frame | OversizedFrame) => void;

/**
 * What happens to reading while the peer does not take what we wrote. A server stops ("pause"): whoever does not
 * want the answers gets to ask no more. A client must go on, or two sides could wait for each other.
 */
export type WhenStuck = "pause" | "read-on";

interface Writer {
  turn(): void;
  closed(): void;
}

export class Channel {
  readonly #socket: ByteSocket;
  readonly #closed = new AbortController();
  /** who waits for the peer to read, in the order in which they came */
  readonly #writers = new Set<Writer>();

  constructor(socket: ByteSocket, whenStuck: WhenStuck, onFrame: FrameHandler) {
    this.#socket = socket;
    // Every call and every lease may listen: many are no leak.
    setMaxListeners(0, this.#closed.signal);
    const decoder = new FrameDecoder();
    socket.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) onFrame(frame);
      if (whenStuck === "pause" && socket.writableNeedDrain) socket.pause();
    });
    socket.on("drain", () => {
      this.#wakeWriters();
      if (!socket.writableNeedDrain) socket.resume();
    });
    // The reason of a broken connection matters to nobody here: "close" always follows.
    socket.on("error", () => socket.destroy());
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
    socket.resume();
  }

  /** aborted when the connection has ended */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** bytes written that the peer has not taken yet */
  get unsentBytes(): number {
    return this.#socket.writableLength;
  }

  /** @throws TtrpcError RESOURCE_EXHAUSTED if the payload is too long for a frame */
  send(stream: number, type: number, flags: number, payload: Uint8Array): void {
    const bytes = encodeFrame(stream, type, flags, payload);
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /**
   * Runs `write` once the peer has taken what was written before: at once, or after those that wait already.
   * Rejects with what `write` throws, with the reason of `until`, or with UNAVAILABLE when the connection ends before.
   */
  inTurn(write: () => void, until: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (until.aborted) throw until.reason;
      if (this.closed.aborted) throw this.closed.reason;
      if (this.#writers.size === 0 && !this.#socket.writableNeedDrain) {
        write();
        resolve();
        return;
      }
      const settle = (finish: () => void) => {
        this.#writers.delete(writer);
        until.removeEventListener("abort", aborted);
        finish();
      };
      const aborted = () => settle(() => reject(until.reason));
      const writer: Writer = {
        turn: () => settle(() => resolve(new Promise((done) => done(write())))),
        closed: () => settle(() => reject(this.closed.reason)),
      };
      this.#writers.add(writer);
      until.addEventListener("abort", aborted, { once: true });
    });
  }

  /** Ends the connection; what is written still goes out, unless that takes longer than `graceMs`. */
  end(graceMs: number): void {
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), graceMs);
    timer.unref();
    this.#socket.once("close", () => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #wakeWriters(): void {
    for (const writer of this.#writers) {
      if (this.#socket.writableNeedDrain) return;
      writer.turn();
    }
  }

  #end(): void {
    if (this.closed.aborted) return;
    this.#closed.abort(new TtrpcError(Code.UNAVAILABLE, "connection closed"));
    for (const writer of this.#writers) writer.closed();
  }
}
