import { Budget, costOf } from "./budget.js";
import { Channel } from "./channel.js";
import {
  type Begun,
  type ClientStream,
  decodeMessage,
  openStream,
  type PendingCall,
  type StreamParts,
} from "./client-stream.js";
import { afterTimeout } from "./deadline.js";
import { Code, TtrpcError } from "./errors.js";
import { Flag, type Frame, FrameType, MAX_PAYLOAD_BYTES, type OversizedFrame } from "./frame.js";
import { MessageQueue } from "./queue.js";
import type { Decoded, Encodable, MessageType, MethodShape } from "./service.js";
import { checkSocketPath } from "./socket-path.js";
import { type ByteSocket, currentTransport } from "./transport.js";
import { decodeResponse, encodeRequest, type Response } from "./wire.js";

export interface ClientOptions {
  /** for connecting, in ms (default 5 000) */
  readonly connectTimeoutMs?: number;
  /** for calls that name none, in ms (default 30 000); Infinity waits as long as the connection lives */
  readonly timeoutMs?: number;
  /** bytes that may wait for the reader of one stream (default 16 MiB) */
  readonly maxQueuedBytes?: number;
  /** bytes that may wait for all readers together, and most that one answer may take as decoded (default 64 MiB) */
  readonly maxHeldBytes?: number;
  /** bytes that may wait for a server that does not read; further calls are refused (default 256 MiB) */
  readonly maxUnsentBytes?: number;
}

const LAST_STREAM = 2 ** 32 - 1;
const CLOSE = Flag.REMOTE_CLOSED | Flag.NO_DATA;
const EMPTY = new Uint8Array(0);

export interface CallOptions {
  /** in ms; told to the server too */
  readonly timeoutMs?: number;
  /** Gives up on the call (CANCELED). ttrpc cannot tell the server, which goes on. */
  readonly signal?: AbortSignal;
  readonly metadata?: Readonly<Record<string, string | readonly string[]>>;
}

type CallOf<M extends MethodShape> = M extends { stream: "client" | "server" | "both" }
  ? (options?: CallOptions) => ClientStream<Encodable<M["request"]>, Decoded<M["response"]>>
  : (request: Encodable<M["request"]>, options?: CallOptions) => Promise<Decoded<M["response"]>>;

/** A service's methods as functions. */
export type ServiceClient<D extends Readonly<Record<string, MethodShape>>> = {
  readonly [K in keyof D]: CallOf<D[K]>;
};

export class Client {
  readonly #channel: Channel;
  readonly #options: ClientOptions;
  readonly #budget: Budget;
  readonly #calls = new Map<number, PendingCall>();
  #nextStream = 1;

  private constructor(
    readonly socket: ByteSocket,
    options: ClientOptions,
  ) {
    this.#options = options;
    this.#budget = new Budget(options.maxHeldBytes ?? 64 << 20);
    this.#channel = new Channel(socket, "read-on", (frame) => this.#onFrame(frame));
    this.closed.addEventListener("abort", () => this.#onClosed(), { once: true });
  }

  /**
   * Connects to a unix socket.
   * @throws TtrpcError UNAVAILABLE if nobody listens there, DEADLINE_EXCEEDED if that takes too long,
   * INVALID_ARGUMENT if no socket can have this path
   */
  static async connect(path: string, options: ClientOptions = {}): Promise<Client> {
    checkSocketPath(path);
    const timeoutMs = options.connectTimeoutMs ?? 5000;
    const { connect } = await currentTransport();
    const socket = connect(path);
    await new Promise<void>((resolve, reject) => {
      const cancel = afterTimeout(timeoutMs, () => {
        socket.destroy();
        reject(new TtrpcError(Code.DEADLINE_EXCEEDED, `no connection to ${path} within ${timeoutMs} ms`));
      });
      socket.once("error", (cause) => {
        cancel();
        reject(new TtrpcError(Code.UNAVAILABLE, `cannot connect to ${path}: ${cause.message}`, { cause }));
      });
      socket.once("connect", () => {
        cancel();
        resolve();
      });
    });
    socket.removeAllListeners("error");
    return new Client(socket, options);
  }

  /** aborted when the connection has ended */
  get closed(): AbortSignal {
    return this.#channel.closed;
  }

  /** Ends the connection; calls under way fail with UNAVAILABLE. */
  close(): void {
    this.#channel.end(1000);
  }

  /** The methods of a service as functions, from the same description that a server registers. */
  service<D extends Readonly<Record<string, MethodShape>>>(name: string, methods: D): ServiceClient<D> {
    const entries = Object.entries(methods).map(([method, shape]) => {
      const streams = shape.stream !== undefined && shape.stream !== "none";
      const call = streams
        ? (options?: CallOptions) => this.stream(name, method, shape, options)
        : (request: unknown, options?: CallOptions) => this.call(name, method, shape, request, options);
      return [method, call] as const;
    });
    return Object.fromEntries(entries) as unknown as ServiceClient<D>;
  }

  /** One request, one response. Rejects with a TtrpcError. */
  async call<Q extends MessageType, S extends MessageType>(
    service: string,
    method: string,
    shape: { readonly request: Q; readonly response: S },
    request: Encodable<Q>,
    options: CallOptions = {},
  ): Promise<Decoded<S>> {
    const payload = shape.request.encode(request).finish();
    const response = await new Promise<Response>((resolve, reject) => {
      const begun = this.#begin(service, method, payload, 0, options, {
        onResponse: resolve,
        onData: () => begun.fail(new TtrpcError(Code.INTERNAL, `${service}/${method}: unexpected data`)),
        fail: reject,
      });
    });
    if (costOf(response.payload) > this.#budget.limit) {
      throw new TtrpcError(Code.RESOURCE_EXHAUSTED, `${service}/${method}: the answer takes too much memory`);
    }
    return decodeMessage(shape.response, response.payload) as Decoded<S>;
  }

  /** A call with a stream on either side or both. The timeout, if one is given, is for the whole stream. */
  stream<Q extends MessageType, S extends MessageType>(
    service: string,
    method: string,
    shape: { readonly request: Q; readonly response: S; readonly stream?: string },
    options: CallOptions = {},
  ): ClientStream<Encodable<Q>, Decoded<S>> {
    const endless = { timeoutMs: Number.POSITIVE_INFINITY, ...options };
    const parts: StreamParts = {
      channel: this.#channel,
      incoming: new MessageQueue(this.#options.maxQueuedBytes ?? 16 << 20, this.#budget),
      begin: (payload, flags, pending) => this.#begin(service, method, payload, flags, endless, pending),
    };
    return openStream(parts, shape);
  }

  #begin(
    service: string,
    method: string,
    payload: Uint8Array,
    flags: number,
    options: CallOptions,
    pending: PendingCall,
  ): Begun {
    const name = `${service}/${method}`;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? 30_000;
    const timeoutNano = Number.isFinite(timeoutMs) ? Math.min(Math.ceil(timeoutMs * 1e6), 2 ** 62) : 0;
    const metadata = metadataOf(options.metadata);
    const bytes = encodeRequest({ service, method, payload, timeoutNano, metadata });
    const refusal = this.#refusal(name, bytes.length, timeoutMs, options.signal);
    if (refusal !== undefined) {
      pending.fail(refusal);
      return { stream: 0, fail: () => {} };
    }
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const settle = () => {
      cancelTimeout();
      options.signal?.removeEventListener("abort", cancelled);
      this.#calls.delete(stream);
    };
    const giveUp = (error: TtrpcError) => {
      if (!this.#calls.has(stream)) return;
      settle();
      // ttrpc has no way to cancel; but a handler that waits for our next message can stop waiting.
      if ((flags & Flag.REMOTE_OPEN) !== 0) this.#channel.send(stream, FrameType.DATA, CLOSE, EMPTY);
      pending.fail(error);
    };
    const cancelled = () => giveUp(new TtrpcError(Code.CANCELED, `${name}: cancelled`));
    const cancelTimeout = afterTimeout(timeoutMs, () => giveUp(tooLate(name, timeoutMs)));
    options.signal?.addEventListener("abort", cancelled, { once: true });
    this.#calls.set(stream, {
      onResponse: (response) => {
        settle();
        const { code, message, details } = response;
        if (code === Code.OK) pending.onResponse(response);
        else pending.fail(new TtrpcError(code, message, { details }));
      },
      onData: (frame) => {
        pending.onData(frame);
        if ((frame.flags & Flag.REMOTE_CLOSED) !== 0) settle();
      },
      fail: giveUp,
    });
    this.#channel.send(stream, FrameType.REQUEST, flags, bytes);
    return { stream, fail: giveUp };
  }

  /** Why a call cannot begin now; undefined if it can. */
  #refusal(name: string, length: number, timeoutMs: number, signal?: AbortSignal): TtrpcError | undefined {
    if (this.closed.aborted) return new TtrpcError(Code.UNAVAILABLE, "connection closed");
    if (signal?.aborted === true) return new TtrpcError(Code.CANCELED, `${name}: cancelled`);
    if (timeoutMs <= 0) return tooLate(name, timeoutMs);
    if (this.#nextStream > LAST_STREAM) {
      return new TtrpcError(Code.UNAVAILABLE, "this connection has had all the calls it can: connect again");
    }
    if (length > MAX_PAYLOAD_BYTES) {
      return new TtrpcError(Code.RESOURCE_EXHAUSTED, `${name}: request of ${length} bytes is too long`);
    }
    if (this.#channel.unsentBytes > (this.#options.maxUnsentBytes ?? 256 << 20)) {
      return new TtrpcError(
        Code.RESOURCE_EXHAUSTED,
        `${name}: the server does not take what was sent before`,
      );
    }
    return undefined;
  }

  #onFrame(frame: Frame | OversizedFrame): void {
    // No call: it was given up, or the peer errs; neither harms the other calls.
    const call = this.#calls.get(frame.stream);
    if (call === undefined || (frame.type !== FrameType.DATA && frame.type !== FrameType.RESPONSE)) return;
    if (frame.kind === "oversized") {
      call.fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, `answer of ${frame.length} bytes is too long`));
    } else if (frame.type === FrameType.DATA) call.onData(frame);
    else {
      let response: Response;
      try {
        response = decodeResponse(frame.payload);
      } catch (cause) {
        call.fail(new TtrpcError(Code.INTERNAL, "malformed response", { cause }));
        return;
      }
      call.onResponse(response);
    }
  }

  #onClosed(): void {
    const error = new TtrpcError(Code.UNAVAILABLE, "connection closed");
    for (const call of [...this.#calls.values()]) call.fail(error);
  }
}

function tooLate(name: string, timeoutMs: number): TtrpcError {
  return new TtrpcError(Code.DEADLINE_EXCEEDED, `${name}: no answer within ${timeoutMs} ms`);
}

function metadataOf(metadata: CallOptions["metadata"]): Map<string, readonly string[]> {
  const entries = Object.entries(metadata ?? {});
  return new Map(
    entries.map(([key, value]) => [key.toLowerCase(), typeof value === "string" ? [value] : value]),
  );
}
