/**
 * gRPC over protobufjs' static classes: one small description per method serves client and server alike.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  type CallOptions,
  type Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  Metadata,
  type MethodDefinition,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  type UntypedHandleCall,
} from "@grpc/grpc-js";
import { toServiceError } from "../errors.js";

/** A static class of protobufjs: what may be encoded, and what decoding gives. */
export interface MessageType<In, Out extends In> {
  encode(message: In): { finish(): Uint8Array };
  decode(data: Uint8Array): Out;
}

export interface Method<ReqIn, ReqOut, ResIn, ResOut> {
  readonly path: string;
  readonly request: { encode(message: ReqIn): Buffer; decode(data: Buffer): ReqOut };
  readonly response: { encode(message: ResIn): Buffer; decode(data: Buffer): ResOut };
}

function codec<In, Out extends In>(type: MessageType<In, Out>) {
  return {
    encode: (message: In) => Buffer.from(type.encode(message).finish()),
    decode: (data: Buffer) => type.decode(data),
  };
}

/** @param path as on the wire: `/package.Service/Method` */
export function method<ReqIn, ReqOut extends ReqIn, ResIn, ResOut extends ResIn>(
  path: string,
  request: MessageType<ReqIn, ReqOut>,
  response: MessageType<ResIn, ResOut>,
): Method<ReqIn, ReqOut, ResIn, ResOut> {
  return { path, request: codec(request), response: codec(response) };
}

export interface CallContext {
  readonly metadata?: Metadata;
  /** Milliseconds; every unary call has a bound. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

const DEFAULT_TIMEOUT_MS = 30_000;

function callOptions(context: CallContext, bounded: boolean): Partial<CallOptions> {
  const ms = context.timeoutMs ?? (bounded ? DEFAULT_TIMEOUT_MS : undefined);
  return ms === undefined ? {} : { deadline: Date.now() + ms };
}

/** A unary call. Rejects with gRPC's ServiceError. */
export function call<I, O, R, S>(
  client: Client,
  m: Method<I, O, R, S>,
  message: I,
  context: CallContext = {},
): Promise<S> {
  return new Promise((resolve, reject) => {
    const running = client.makeUnaryRequest(
      m.path,
      m.request.encode,
      m.response.decode,
      message,
      context.metadata ?? new Metadata(),
      callOptions(context, true),
      (error, value) => {
        context.signal?.removeEventListener("abort", cancel);
        if (error) reject(error);
        else resolve(value as S);
      },
    );
    const cancel = () => running.cancel();
    if (context.signal?.aborted) cancel();
    context.signal?.addEventListener("abort", cancel, { once: true });
  });
}

export function serverStream<I, O, R, S>(
  client: Client,
  m: Method<I, O, R, S>,
  message: I,
  context: CallContext = {},
): ClientReadableStream<S> {
  return client.makeServerStreamRequest(
    m.path,
    m.request.encode,
    m.response.decode,
    message,
    context.metadata ?? new Metadata(),
    callOptions(context, false),
  );
}

/** A call that sends many messages and gets one answer. */
export function clientStream<I, O, R, S>(
  client: Client,
  m: Method<I, O, R, S>,
  context: CallContext = {},
): { stream: ClientWritableStream<I>; answer: Promise<S> } {
  let stream: ClientWritableStream<I> | undefined;
  const answer = new Promise<S>((resolve, reject) => {
    stream = client.makeClientStreamRequest(
      m.path,
      m.request.encode,
      m.response.decode,
      context.metadata ?? new Metadata(),
      callOptions(context, false),
      (error, value) => (error ? reject(error) : resolve(value as S)),
    );
  });
  if (stream === undefined) throw new Error("gRPC gave no stream");
  return { stream, answer };
}

export function duplex<I, O, R, S>(
  client: Client,
  m: Method<I, O, R, S>,
  context: CallContext = {},
): ClientDuplexStream<I, S> {
  return client.makeBidiStreamRequest(
    m.path,
    m.request.encode,
    m.response.decode,
    context.metadata ?? new Metadata(),
    callOptions(context, false),
  );
}

/** Writes and waits while the stream's buffer is full, so that a slow peer bounds our memory. */
export async function writeMessage<T>(
  stream: {
    write(message: T): boolean;
    once(event: string, listener: () => void): unknown;
    off(event: string, listener: () => void): unknown;
    destroyed?: boolean;
  },
  message: T,
  timeoutMs: number,
): Promise<void> {
  if (stream.destroyed) throw new Error("the connection is closed");
  if (stream.write(message)) return;
  await new Promise<void>((resolve, reject) => {
    const done = (error?: Error) => {
      clearTimeout(timer);
      for (const event of ["drain", "error", "close"])
        stream.off(event, event === "drain" ? onDrain : onLost);
      if (error) reject(error);
      else resolve();
    };
    const onDrain = () => done();
    const onLost = () => done(new Error("the connection was lost while writing"));
    const timer = setTimeout(() => done(new Error(`the peer took nothing for ${timeoutMs} ms`)), timeoutMs);
    stream.once("drain", onDrain);
    stream.once("error", onLost);
    stream.once("close", onLost);
  });
}

interface Handler {
  readonly definition: MethodDefinition<unknown, unknown>;
  readonly implementation: UntypedHandleCall;
}

function definition(
  m: Method<never, unknown, never, unknown>,
  requestStream: boolean,
  responseStream: boolean,
) {
  return {
    path: m.path,
    requestStream,
    responseStream,
    requestSerialize: m.request.encode,
    requestDeserialize: m.request.decode,
    responseSerialize: m.response.encode,
    responseDeserialize: m.response.decode,
  } as MethodDefinition<unknown, unknown>;
}

type AnyMethod = Method<never, unknown, never, unknown>;

/** Handles a unary method; what it throws becomes a status with code and remedy. */
export function onUnary<I, O, R, S>(
  m: Method<I, O, R, S>,
  handle: (request: O, call: ServerUnaryCall<O, R>) => Promise<R>,
): Handler {
  return {
    definition: definition(m as unknown as AnyMethod, false, false),
    implementation: ((c: ServerUnaryCall<O, R>, callback: sendUnaryData<R>) => {
      handle(c.request, c).then(
        (value) => callback(null, value),
        (error) => callback(toServiceError(error)),
      );
    }) as UntypedHandleCall,
  };
}

/** Handles many requests, one answer. */
export function onClientStream<I, O, R, S>(
  m: Method<I, O, R, S>,
  handle: (call: ServerReadableStream<O, R>) => Promise<R>,
): Handler {
  return {
    definition: definition(m as unknown as AnyMethod, true, false),
    implementation: ((c: ServerReadableStream<O, R>, callback: sendUnaryData<R>) => {
      handle(c).then(
        (value) => callback(null, value),
        (error) => callback(toServiceError(error)),
      );
    }) as UntypedHandleCall,
  };
}

/** A stream that is destroyed sends nothing any more, not even its status: gRPC takes that from the event. */
function fail(stream: NodeJS.EventEmitter, error: unknown): void {
  stream.emit("error", toServiceError(error));
}

/** Handles one request, many answers: ends the stream when `handle` ends. */
export function onServerStream<I, O, R, S>(
  m: Method<I, O, R, S>,
  handle: (request: O, call: ServerWritableStream<O, R>) => Promise<void>,
): Handler {
  return {
    definition: definition(m as unknown as AnyMethod, false, true),
    implementation: ((c: ServerWritableStream<O, R>) => {
      handle(c.request, c).then(
        () => c.end(),
        (error) => fail(c, error),
      );
    }) as UntypedHandleCall,
  };
}

/** Handles a stream in both directions: ends it when `handle` ends. */
export function onDuplex<I, O, R, S>(
  m: Method<I, O, R, S>,
  handle: (call: ServerDuplexStream<O, R>) => Promise<void>,
): Handler {
  return {
    definition: definition(m as unknown as AnyMethod, true, true),
    implementation: ((c: ServerDuplexStream<O, R>) => {
      handle(c).then(
        () => c.end(),
        (error) => fail(c, error),
      );
    }) as UntypedHandleCall,
  };
}

/** What `Server.addService` wants. */
export function service(handlers: Readonly<Record<string, Handler>>) {
  const definitions: Record<string, MethodDefinition<unknown, unknown>> = {};
  const implementations: Record<string, UntypedHandleCall> = {};
  for (const [name, handler] of Object.entries(handlers)) {
    definitions[name] = handler.definition;
    implementations[name] = handler.implementation;
  }
  return { definitions, implementations };
}

/** Sleeps, but not past an abort. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  await delay(ms, undefined, signal ? { signal } : {}).catch(() => undefined);
}
