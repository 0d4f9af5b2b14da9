/** One call on the server's side, from its request frame to its last answer. */
import type { Budget } from "./budget.js";
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
  /** what the connection's calls share */
  readonly budget: Budget;
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
    const timeoutMs = request.timeoutNano !== 0 ? request.timeoutNano / 1e6 : undefined;
    this.#context = {
      service: request.service,
      method: request.method,
      metadata: request.metadata,
      deadline: timeoutMs === undefined ? undefined : Date.now() + timeoutMs,
      signal: this.#abort.signal,
      connection: parts.connection,
    };
    if (isStream(method)) this.#incoming = new MessageQueue(parts.maxQueuedBytes, parts.budget);
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
        await this.#respond(await handler(decode(method.request, payload), this.#context));
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
    // A client that goes on sending may put its first message into the request; one that does not always does.
    const open = clientStreams && (flags & Flag.REMOTE_OPEN) !== 0;
    if (payload.length > 0 || (!open && (flags & Flag.NO_DATA) === 0)) incoming.push(payload);
    if (!open) incoming.finish();
    const handler = method.handler as (
      stream: ServerStream<unknown, unknown>,
      context: CallContext,
    ) => unknown;
    const result = await handler(this.#streamFor(method, incoming), this.#context);
    if (method.stream === "client") await this.#respond(result);
    else await this.#answerInTurn(FrameType.DATA, Flag.REMOTE_CLOSED | Flag.NO_DATA, () => EMPTY);
  }

  #streamFor(method: StreamMethod, incoming: MessageQueue): ServerStream<unknown, unknown> {
    return {
      send: async (message) => {
        if (method.stream === "client")
          throw new TtrpcError(Code.INTERNAL, "this method has one response, no stream");
        await this.#parts.channel.inTurn(() => {
          if (this.#answered) throw this.#endReason();
          this.#send(FrameType.DATA, 0, method.response.encode(message).finish());
        }, this.#abort.signal);
      },
      async *[Symbol.asyncIterator]() {
        for await (const bytes of incoming) yield decode(method.request, bytes);
      },
    };
  }

  /** Answers when the client takes it: until then a handler's result waits unencoded. */
  #respond(message: unknown): Promise<void> {
    return this.#answerInTurn(FrameType.RESPONSE, 0, () => {
      const payload = this.#method.response.encode(message).finish();
      const response = encodeResponse({ code: Code.OK, message: "", details: [], payload });
      if (response.length > MAX_PAYLOAD_BYTES) {
        const text = `response of ${response.length} bytes is longer than the limit of ${MAX_PAYLOAD_BYTES}`;
        throw new TtrpcError(Code.RESOURCE_EXHAUSTED, text);
      }
      return response;
    });
  }

  async #answerInTurn(type: number, flags: number, encode: () => Uint8Array): Promise<void> {
    if (this.#answered) return;
    await this.#parts.channel.inTurn(() => {
      if (this.#answered) return;
      const payload = encode();
      this.#answer(() => this.#send(type, flags, payload));
    }, this.#abort.signal);
  }

  #fail(error: TtrpcError): void {
    if (this.#answered) return;
    const lost = this.#parts.connection.closed.aborted;
    this.#answer(() => {
      if (!lost) sendError(this.#parts.channel, this.stream, error);
    });
    this.#incoming?.fail(error);
    this.#abort.abort(error);
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

const MAX_MESSAGE_CHARS = 64 * 1024;

/** Answers a call with a status; a message is cut, and details are left out, that would not fit a frame. */
export function sendError(channel: Channel, stream: number, error: TtrpcError): void {
  const code = error.code === Code.OK ? Code.UNKNOWN : error.code;
  const cut = error.message.length > MAX_MESSAGE_CHARS;
  const message = cut ? `${error.message.slice(0, MAX_MESSAGE_CHARS)}…` : error.message;
  const whole = encodeResponse({ code, message, details: error.details, payload: EMPTY });
  const fits = whole.length <= MAX_PAYLOAD_BYTES;
  const response = fits ? whole : encodeResponse({ code, message, details: [], payload: EMPTY });
  channel.send(stream, FrameType.RESPONSE, 0, response);
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
