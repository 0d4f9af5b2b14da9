/** A socket that speaks frames; what server and client connections have in common. */
import { setMaxListeners } from "node:events";
import type { Socket } from "node:net";
import { Code, TtrpcError } from "./errors.js";
import { encodeFrame, type Frame, FrameDecoder, type OversizedFrame } from "./frame.js";

export type FrameHandler = (frame: Frame | OversizedFrame) => void;

export class Channel {
  readonly #socket: Socket;
  readonly #closed = new AbortController();

  constructor(socket: Socket, onFrame: FrameHandler) {
    this.#socket = socket;
    // Every call and every lease may listen: many are no leak.
    setMaxListeners(0, this.#closed.signal);
    const decoder = new FrameDecoder();
    socket.on("data", (chunk: Buffer) => {
      for (const frame of decoder.push(chunk)) onFrame(frame);
    });
    // The reason of a broken connection matters to nobody here: "close" always follows.
    socket.on("error", () => socket.destroy());
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** aborted when the connection has ended */
  get closed(): AbortSignal {
    return this.#closed.signal;
  }

  /** @throws RangeError if the payload is too long for a frame */
  send(stream: number, type: number, flags: number, payload: Uint8Array): void {
    const bytes = encodeFrame(stream, type, flags, payload);
    if (this.#socket.writable) this.#socket.write(bytes);
  }

  /** Resolves when the socket takes more; rejects with UNAVAILABLE when it has closed. */
  async drained(): Promise<void> {
    if (!this.closed.aborted && !this.#socket.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#socket.off("drain", done);
        this.closed.removeEventListener("abort", done);
        resolve();
      };
      this.#socket.once("drain", done);
      this.closed.addEventListener("abort", done, { once: true });
      if (this.closed.aborted) done();
    });
    if (this.closed.aborted) throw new TtrpcError(Code.UNAVAILABLE, "connection closed");
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

  #end(): void {
    if (!this.closed.aborted) this.#closed.abort(new TtrpcError(Code.UNAVAILABLE, "connection closed"));
  }
}
