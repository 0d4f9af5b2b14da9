/** One call on the server's side, from its request frame to its last answer. */
import type { Channel } from "./channel.js";
import { afterTimeout } from "./deadline.js";
import { Code, TtrpcError } from "./errors.js";
import { Flag, type Frame, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import { MessageQueue } from "./queue.js";
import type { CallContext, Connection, MessageType, Method, ServerStream, StreamMethod } from "./service.js";
import { encodeResponse, type Request } from "./wire.js";

const EMPTY = new Uint8Array(0);

export interface CallParts {
  readonly stream: number;
  readonly channel: Channel;
  readonly connection: Connection;
  readonly maxQueuedBytes: number;
  /** called once, when the call has its answer */
  readonly done: (call: ServerCall) => void;
  readonly failed: (error: TtrpcError, context: CallContext) => void;
}

export class ServerCall {
  readonly stream: number;
  readonly #parts: CallParts;
  readonly #method: Method;
  readonly #context: CallContext;
  readonly #abort = new AbortController();
  readonly #incoming: MessageQueue | undefined;
  #answered = false;
  #cancelDeadline: () => void = () => {};

  constructor(parts: CallParts, method: Method, request: Request) {
    this.stream = parts.stream;
    this.#parts = parts;
    this.#method = method;
    const timeoutMs = request.timeoutNano > 0 ? request.timeoutNano / 1e6 : undefined;
    this.#context = {
      service: request.service,
      method: request.method,
      metadata: request.metadata,
      deadline: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
      signal: this.#abort.signal,
      connection: parts.connection,
    };
    if (isStream(method)) this.#incoming = new MessageQueue(parts.maxQueuedBytes);
    if (timeoutMs !== undefined) {
      this.#cancelDeadline = afterTimeout(timeoutMs, () =>
        this.#fail(new TtrpcError(Code.DEADLINE_EXCEEDED, "deadline exceeded")),
      );
    }
  }

  /** Runs the handler; never rejects: every outcome becomes an answer. */
  async run(payload: Uint8Array, flags: number): Promise<void> {
    try {
      const method = this.#method;
      if (isStream(method)) await this.#runStream(method, payload, flags);
      else {
        const handler = method.handler as (request: unknown, context: CallContext) => unknown;
        this.#respond(await handler(decode(method.request, payload), this.#context));
      }
    } catch (thrown) {
      this.#fail(TtrpcError.from(thrown));
    }
  }

  /** A data frame of this call. */
  data(frame: Frame): void {
    const incoming = this.#incoming;
    if (incoming === undefined) {
      this.#fail(
        new TtrpcError(Code.INVALID_ARGUMENT, `${this.#context.method} takes no stream of messages`),
      );
      return;
    }
    if ((frame.flags & Flag.NO_DATA) === 0 && !incoming.push(frame.payload)) {
      this.#fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, "messages arrive faster than they are read"));
    }
    if ((frame.flags & Flag.REMOTE_CLOSED) !== 0) incoming.finish();
  }

  /** Ends the call with an error, now. */
  fail(error: TtrpcError): void {
    this.#fail(error);
  }

  async #runStream(method: StreamMethod, payload: Uint8Array, flags: number): Promise<void> {
    const incoming = this.#incoming as MessageQueue;
    const clientStreams = method.stream !== "server";
    // A client that streams may send its first message along with the request, one that does not always does.
    if (!clientStreams || payload.length > 0) incoming.push(payload);
    if (!clientStreams || (flags & Flag.REMOTE_CLOSED) !== 0) incoming.finish();
    const handler = method.handler as (
      stream: ServerStream<unknown, unknown>,
      context: CallContext,
    ) => unknown;
    const result = await handler(this.#streamFor(method, incoming), this.#context);
    if (method.stream === "client") this.#respond(result);
    else this.#answer(() => this.#send(FrameType.DATA, Flag.REMOTE_CLOSED | Flag.NO_DATA, EMPTY));
  }

  #streamFor(method: StreamMethod, incoming: MessageQueue): ServerStream<unknown, unknown> {
    const open = () => !this.#answered;
    return {
      send: async (message) => {
        if (method.stream === "client")
          throw new TtrpcError(Code.INTERNAL, "this method has one response, no stream");
        if (!open()) throw this.#endReason();
        this.#send(FrameType.DATA, 0, method.response.encode(message).finish());
        await this.#parts.channel.drained();
      },
      async *[Symbol.asyncIterator]() {
        for await (const bytes of incoming) yield decode(method.request, bytes);
      },
    };
  }

  #respond(message: unknown): void {
    if (this.#answered) return;
    const payload = this.#method.response.encode(message).finish();
    const response = encodeResponse({ code: Code.OK, message: "", payload });
    if (response.length > MAX_PAYLOAD_BYTES) {
      const text = `response of ${response.length} bytes is longer than the limit of ${MAX_PAYLOAD_BYTES}`;
      throw new TtrpcError(Code.RESOURCE_EXHAUSTED, text);
    }
    this.#answer(() => this.#send(FrameType.RESPONSE, 0, response));
  }

  #fail(error: TtrpcError): void {
    const lost = this.#parts.connection.closed.aborted;
    this.#answer(() => {
      if (!lost) sendError(this.#parts.channel, this.stream, error);
    });
    this.#incoming?.fail(error);
    if (!this.#abort.signal.aborted) this.#abort.abort(error);
    if (!lost) this.#parts.failed(error, this.#context);
  }

  /** The first answer counts; what comes later (a handler that overslept its deadline) is dropped. */
  #answer(send: () => void): void {
    if (this.#answered) return;
    this.#answered = true;
    this.#cancelDeadline();
    send();
    this.#parts.done(this);
  }

  #endReason(): TtrpcError {
    const reason: unknown = this.#abort.signal.reason;
    return reason instanceof TtrpcError ? reason : new TtrpcError(Code.CANCELED, "the call has ended");
  }

  #send(type: number, flags: number, payload: Uint8Array): void {
    this.#parts.channel.send(this.stream, type, flags, payload);
  }
}

/** Answers a call with a status; a message that would not fit a frame is cut. */
export function sendError(channel: Channel, stream: number, error: TtrpcError): void {
  const code = error.code === Code.OK ? Code.UNKNOWN : error.code;
  const message = error.message.length > 64 * 1024 ? `${error.message.slice(0, 64 * 1024)}…` : error.message;
  channel.send(stream, FrameType.RESPONSE, 0, encodeResponse({ code, message, payload: EMPTY }));
}

function isStream(method: Method): method is StreamMethod {
  return method.stream !== undefined && method.stream !== "none";
}

function decode(type: MessageType, bytes: Uint8Array): unknown {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new TtrpcError(Code.INVALID_ARGUMENT, "the request's payload is malformed", { cause });
  }
}
