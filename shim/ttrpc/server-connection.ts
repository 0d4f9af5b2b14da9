/** One client of a server: assigns its frames to calls and keeps the rules of stream ids. */
import { Budget, costOf } from "./budget.js";
import { Channel } from "./channel.js";
import { Code, TtrpcError } from "./errors.js";
import { type Frame, FrameType, type OversizedFrame } from "./frame.js";
import { ServerCall, sendError } from "./server-call.js";
import type { CallContext, Connection, Method } from "./service.js";
import type { ByteSocket } from "./transport.js";
import { decodeRequest, type Request } from "./wire.js";

export interface ConnectionOptions {
  /** @throws TtrpcError UNIMPLEMENTED if there is no such method */
  readonly find: (service: string, method: string) => Method;
  readonly onCallFailed: (error: TtrpcError, context: CallContext) => void;
  /** calls under way at once; further ones are refused */
  readonly maxCalls: number;
  /** bytes that may wait for a stream's handler */
  readonly maxQueuedBytes: number;
  /** bytes that all calls of the connection may hold together */
  readonly maxHeldBytes: number;
}

export class ServerConnection implements Connection {
  readonly #channel: Channel;
  readonly #options: ConnectionOptions;
  readonly #budget: Budget;
  /** calls without an answer yet */
  readonly #calls = new Map<number, ServerCall>();
  #lastStream = 0;

  constructor(
    socket: ByteSocket,
    readonly id: number,
    readonly peer: unknown,
    options: ConnectionOptions,
  ) {
    this.#options = options;
    this.#budget = new Budget(options.maxHeldBytes);
    this.#channel = new Channel(socket, "pause", (frame) => this.#onFrame(frame));
    this.closed.addEventListener("abort", () => this.#onClosed(), { once: true });
  }

  get closed(): AbortSignal {
    return this.#channel.closed;
  }

  get activeCalls(): number {
    return this.#calls.size;
  }

  end(graceMs = 1000): void {
    this.#channel.end(graceMs);
  }

  destroy(): void {
    this.#channel.destroy();
  }

  #onFrame(frame: Frame | OversizedFrame): void {
    try {
      if (frame.kind === "oversized") this.#onOversized(frame);
      else if (frame.type === FrameType.REQUEST) this.#onRequest(frame);
      else if (frame.type === FrameType.DATA) this.#onData(frame);
      // Other types are ignored, as the protocol may grow.
    } catch (thrown) {
      sendError(this.#channel, frame.stream, TtrpcError.from(thrown));
    }
  }

  #onData(frame: Frame): void {
    const call = this.#calls.get(frame.stream);
    if (call !== undefined) call.data(frame);
    else if (frame.stream % 2 !== 1 || frame.stream > this.#lastStream) {
      throw new TtrpcError(Code.INVALID_ARGUMENT, `stream ${frame.stream} was never opened`);
    }
    // Else the call has ended, which the client cannot know yet.
  }

  #onOversized(frame: OversizedFrame): void {
    const error = new TtrpcError(Code.RESOURCE_EXHAUSTED, `message of ${frame.length} bytes is too long`);
    if (frame.type === FrameType.DATA) this.#calls.get(frame.stream)?.fail(error);
    if (frame.type !== FrameType.REQUEST) return;
    this.#claimStream(frame.stream);
    throw error;
  }

  #onRequest(frame: Frame): void {
    this.#claimStream(frame.stream);
    if (this.#calls.size >= this.#options.maxCalls) {
      throw new TtrpcError(Code.RESOURCE_EXHAUSTED, `more than ${this.#options.maxCalls} calls under way`);
    }
    const request = parseRequest(frame.payload);
    const method = this.#options.find(request.service, request.method);
    const cost = frame.payload.length + costOf(request.payload);
    if (!this.#budget.take(cost)) {
      throw new TtrpcError(Code.RESOURCE_EXHAUSTED, "the calls of this connection take too much memory");
    }
    const call = new ServerCall(
      {
        stream: frame.stream,
        channel: this.#channel,
        connection: this,
        maxQueuedBytes: this.#options.maxQueuedBytes,
        budget: this.#budget,
        done: (ended) => this.#calls.delete(ended.stream),
        failed: this.#options.onCallFailed,
      },
      method,
      request,
    );
    this.#calls.set(frame.stream, call);
    // Not before the handler has ended: it may go on beyond the deadline of its call.
    void call.run(request.payload, frame.flags).finally(() => this.#budget.give(cost));
  }

  /** @throws TtrpcError if a client may not begin a call with this id now */
  #claimStream(stream: number): void {
    if (stream % 2 !== 1)
      throw new TtrpcError(Code.INVALID_ARGUMENT, `stream id ${stream} of a client is not odd`);
    if (stream <= this.#lastStream) {
      throw new TtrpcError(
        Code.INVALID_ARGUMENT,
        `stream id ${stream} is not above the last one, ${this.#lastStream}`,
      );
    }
    this.#lastStream = stream;
  }

  #onClosed(): void {
    const error = new TtrpcError(Code.CANCELED, "connection closed");
    for (const call of [...this.#calls.values()]) call.fail(error);
  }
}

function parseRequest(bytes: Uint8Array): Request {
  try {
    return decodeRequest(bytes);
  } catch (cause) {
    throw new TtrpcError(Code.INVALID_ARGUMENT, "malformed request", { cause });
  }
}
