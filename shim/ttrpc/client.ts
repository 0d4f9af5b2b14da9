import { createConnection, type Socket } from "node:net";
import { Channel } from "./channel.js";
import {
  type Begun,
  type ClientStream,
  decodeMessage,
  openStream,
  type PendingCall,
} from "./client-stream.js";
import { afterTimeout } from "./deadline.js";
import { Code, TtrpcError } from "./errors.js";
import { Flag, type Frame, FrameType, MAX_PAYLOAD_BYTES, type OversizedFrame } from "./frame.js";
import type { Decoded, Encodable, MessageType, MethodShape } from "./service.js";
import { decodeResponse, encodeRequest, type Response } from "./wire.js";

export interface ClientOptions {
  /** for connecting, in ms (default 5 000) */
  readonly connectTimeoutMs?: number;
  /** for calls that name none, in ms (default 30 000); Infinity waits as long as the connection lives */
  readonly timeoutMs?: number;
  /** bytes that may wait for the reader of a stream (default 16 MiB) */
  readonly maxQueuedBytes?: number;
}

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
  readonly #calls = new Map<number, PendingCall>();
  #nextStream = 1;

  private constructor(
    readonly socket: Socket,
    options: ClientOptions,
  ) {
    this.#options = options;
    this.#channel = new Channel(socket, (frame) => this.#onFrame(frame));
    this.closed.addEventListener("abort", () => this.#onClosed(), { once: true });
  }

  /**
   * Connects to a unix socket.
   * @throws TtrpcError UNAVAILABLE if nobody listens there, DEADLINE_EXCEEDED if that takes too long
   */
  static async connect(path: string, options: ClientOptions = {}): Promise<Client> {
    const timeoutMs = options.connectTimeoutMs ?? 5000;
    const socket = createConnection(path);
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
    return decodeMessage(shape.response, response.payload) as Decoded<S>;
  }

  /** A call with a stream on either side or both. The timeout, if one is given, is for the whole stream. */
  stream<Q extends MessageType, S extends MessageType>(
    service: string,
    method: string,
    shape: { readonly request: Q; readonly response: S; readonly stream?: string },
    options: CallOptions = {},
  ): ClientStream<Encodable<Q>, Decoded<S>> {
    return openStream(
      this.#channel,
      shape,
      this.#options.maxQueuedBytes ?? 16 << 20,
      (payload, flags, pending) =>
        this.#begin(
          service,
          method,
          payload,
          flags,
          { timeoutMs: Number.POSITIVE_INFINITY, ...options },
          pending,
        ),
    );
  }

  #begin(
    service: string,
    method: string,
    payload: Uint8Array,
    flags: number,
    options: CallOptions,
    pending: PendingCall,
  ): Begun {
    const stream = this.#nextStream;
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? 30_000;
    const settle = () => {
      cancelTimeout();
      options.signal?.removeEventListener("abort", cancelled);
      this.#calls.delete(stream);
    };
    const fail = (error: TtrpcError) => {
      settle();
      pending.fail(error);
    };
    const cancelled = () => fail(new TtrpcError(Code.CANCELED, `${service}/${method}: cancelled`));
    const cancelTimeout = afterTimeout(timeoutMs, () =>
      fail(new TtrpcError(Code.DEADLINE_EXCEEDED, `${service}/${method}: no answer within ${timeoutMs} ms`)),
    );
    const begun = { stream, fail };
    if (this.closed.aborted) fail(new TtrpcError(Code.UNAVAILABLE, "connection closed"));
    else if (options.signal?.aborted === true) cancelled();
    else {
      const timeoutNano = Number.isFinite(timeoutMs) ? Math.min(Math.ceil(timeoutMs * 1e6), 2 ** 62) : 0;
      const metadata = metadataOf(options.metadata);
      const bytes = encodeRequest({ service, method, payload, timeoutNano, metadata });
      if (bytes.length > MAX_PAYLOAD_BYTES) {
        fail(
          new TtrpcError(
            Code.RESOURCE_EXHAUSTED,
            `${service}/${method}: request of ${bytes.length} bytes is too long`,
          ),
        );
        return begun;
      }
      this.#nextStream += 2;
      options.signal?.addEventListener("abort", cancelled, { once: true });
      this.#calls.set(stream, {
        onResponse: (response) => {
          settle();
          if (response.code === Code.OK) pending.onResponse(response);
          else pending.fail(new TtrpcError(response.code, response.message));
        },
        onData: (frame) => {
          if ((frame.flags & Flag.REMOTE_CLOSED) !== 0) settle();
          pending.onData(frame);
        },
        fail,
      });
      this.#channel.send(stream, FrameType.REQUEST, flags, bytes);
    }
    return begun;
  }

  #onFrame(frame: Frame | OversizedFrame): void {
    // No call: it was given up, or the peer errs; neither harms the other calls.
    const call = this.#calls.get(frame.stream);
    if (call === undefined) return;
    if (frame.kind === "oversized") {
      call.fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, `answer of ${frame.length} bytes is too long`));
    } else if (frame.type === FrameType.DATA) call.onData(frame);
    else if (frame.type === FrameType.RESPONSE) {
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

function metadataOf(metadata: CallOptions["metadata"]): Map<string, readonly string[]> {
  const entries = Object.entries(metadata ?? {});
  return new Map(
    entries.map(([key, value]) => [key.toLowerCase(), typeof value === "string" ? [value] : value]),
  );
}
