/** A peer that says what it is told to say, right or wrong. */
import { createConnection, type Socket } from "node:net";
import { encodeFrame, type Frame, FrameDecoder, type OversizedFrame } from "#ttrpc";
import { decodeResponse, encodeRequest, type Response } from "../../../shim/ttrpc/wire.js";

const WAIT_MS = 5000;

/** Messages that are their own bytes. */
export const Bytes = {
  encode: (bytes: Uint8Array) => ({ finish: () => bytes }),
  decode: (bytes: Uint8Array): Uint8Array => bytes,
};

export interface Answer extends Response {
  readonly stream: number;
  readonly type: number;
}

export class RawPeer {
  readonly socket: Socket;
  readonly #frames: (Frame | OversizedFrame)[] = [];
  #wake: () => void = () => {};

  constructor(path: string) {
    this.socket = createConnection(path);
    const decoder = new FrameDecoder();
    this.socket.on("data", (chunk: Buffer) => {
      this.#frames.push(...decoder.push(chunk));
      this.#wake();
    });
    this.socket.on("error", () => {});
    this.socket.on("close", () => this.#wake());
  }

  frame(stream: number, type: number, flags: number, payload: Uint8Array = new Uint8Array(0)): void {
    this.socket.write(encodeFrame(stream, type, flags, payload));
  }

  request(
    stream: number,
    method: string,
    payload: Uint8Array = new Uint8Array(0),
    { flags = 0, timeoutNano = 0, service = "x.Y" } = {},
  ): void {
    this.frame(
      stream,
      1,
      flags,
      encodeRequest({ service, method, payload, timeoutNano, metadata: new Map() }),
    );
  }

  /** The next answer. @throws Error if none comes within 5 s */
  async answer(): Promise<Answer> {
    const deadline = Date.now() + WAIT_MS;
    for (;;) {
      const frame = this.#frames.shift();
      if (frame?.kind === "oversized") throw new Error("the answer is too long");
      if (frame !== undefined) {
        const response = frame.type === 2 ? decodeResponse(frame.payload) : undefined;
        const { stream, type, payload } = frame;
        return { stream, type, ...(response ?? { code: 0, message: "", details: [], payload }) };
      }
      if (this.socket.destroyed) throw new Error("the connection has ended");
      if (Date.now() > deadline) throw new Error("no answer");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        setTimeout(resolve, WAIT_MS).unref();
      });
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
