/** How a service is described, so that server and client share one typed description. */
import type { Metadata } from "./wire.js";

/** What this package needs of a message type; protobufjs' static classes fit. */
export interface MessageType {
  // biome-ignore lint/suspicious/noExplicitAny: the message's own type is inferred from the class that is given
  encode(message: any): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
}

/** What decode of a message type gives. */
export type Decoded<T extends MessageType> = ReturnType<T["decode"]>;
/** What encode of a message type takes. */
export type Encodable<T extends MessageType> = Parameters<T["encode"]>[0];

/** Which sides send a stream of messages instead of one. */
export type StreamKind = "none" | "client" | "server" | "both";

/** One method as a client sees it. */
export interface MethodShape {
  readonly request: MessageType;
  readonly response: MessageType;
  /** default: "none" */
  readonly stream?: StreamKind;
}

/** One client's connection, the same object for all its calls. */
export interface Connection {
  /** counts the connections of a server from 1 */
  readonly id: number;
  /** aborted when the connection has ended, whoever ended it: a service can use a connection as a lease */
  readonly closed: AbortSignal;
  /** what the server's `authorize` returned */
  readonly peer: unknown;
  /** Ends the connection after what is already written. */
  end(): void;
}

export interface CallContext {
  readonly service: string;
  readonly method: string;
  readonly metadata: Metadata;
  /** time of the deadline in ms (as Date.now), if there is one */
  readonly deadline: number | undefined;
  /** aborted at the deadline and when the connection closes: nobody waits for the answer any more */
  readonly signal: AbortSignal;
  readonly connection: Connection;
}

/** A handler's end of a stream: iterate over what the client sends, send what it shall get. */
export interface ServerStream<In, Out> extends AsyncIterable<In> {
  /** Resolves when the connection takes more. Rejects with a TtrpcError when the connection or the call has ended. */
  send(message: Out): Promise<void>;
}

export interface UnaryMethod extends MethodShape {
  readonly stream?: "none";
  readonly handler: (request: never, context: CallContext) => unknown;
}

export interface StreamMethod extends MethodShape {
  readonly stream: "client" | "server" | "both";
  readonly handler: (stream: ServerStream<never, unknown>, context: CallContext) => unknown;
}

export type Method = UnaryMethod | StreamMethod;
export type Methods = Readonly<Record<string, Method>>;

type MaybePromise<T> = T | Promise<T>;

/** Describes and implements a method with one request and one response. */
export function unary<Q extends MessageType, S extends MessageType>(
  request: Q,
  response: S,
  handler: (request: Decoded<Q>, context: CallContext) => MaybePromise<Encodable<S>>,
): UnaryMethod & { request: Q; response: S } {
  return { request, response, handler };
}

/**
 * Describes and implements a method that streams. With kind "client" the handler's result is the one response,
 * else it is ignored and the stream ends when the handler is done.
 */
export function streaming<
  Q extends MessageType,
  S extends MessageType,
  K extends "client" | "server" | "both",
>(
  stream: K,
  request: Q,
  response: S,
  handler: (
    stream: ServerStream<Decoded<Q>, Encodable<S>>,
    context: CallContext,
  ) => MaybePromise<K extends "client" ? Encodable<S> : void>,
): StreamMethod & { request: Q; response: S; stream: K } {
  return { stream, request, response, handler };
}
