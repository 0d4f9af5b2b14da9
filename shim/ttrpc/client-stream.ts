/** The client's side of a call that streams. */
import type { Channel } from "./channel.js";
import { Code, TtrpcError } from "./errors.js";
import { Flag, type Frame, FrameType } from "./frame.js";
import type { MessageQueue } from "./queue.js";
import type { MessageType } from "./service.js";
import type { Response } from "./wire.js";

const EMPTY = new Uint8Array(0);

/**
 * A client's end of a stream. Iterating ends with the stream, or throws the call's TtrpcError; leaving the loop early
 * gives the call up.
 */
export interface ClientStream<In, Out> extends AsyncIterable<Out> {
  /** Resolves when the server has taken what was sent before. */
  send(message: In): Promise<void>;
  /** Sends no more. */
  closeSend(): void;
  /** The one response of a method of kind "client". */
  response(): Promise<Out>;
}

/** What a client keeps of a call under way. */
export interface PendingCall {
  readonly onResponse: (response: Response) => void;
  readonly onData: (frame: Frame) => void;
  readonly fail: (error: TtrpcError) => void;
}

export interface Begun {
  readonly stream: number;
  readonly fail: (error: TtrpcError) => void;
}

type Begin = (payload: Uint8Array, flags: number, pending: PendingCall) => Begun;

export interface StreamParts {
  readonly channel: Channel;
  readonly incoming: MessageQueue;
  readonly begin: Begin;
}

/** A method with one request waits for it before it begins the call: its request travels in the request frame. */
export function openStream<In, Out>(
  { channel, incoming, begin }: StreamParts,
  shape: { readonly request: MessageType; readonly response: MessageType; readonly stream?: string },
): ClientStream<In, Out> {
  const ended = new AbortController();
  const pending: PendingCall = {
    onResponse: (response) => {
      if (shape.stream === "client" || response.payload.length > 0) receive(response.payload);
      finish();
    },
    onData: (frame) => {
      if ((frame.flags & Flag.NO_DATA) === 0) receive(frame.payload);
      if ((frame.flags & Flag.REMOTE_CLOSED) !== 0) finish();
    },
    fail: (error) => {
      incoming.fail(error);
      ended.abort(error);
    },
  };
  let sendClosed = false;
  let begun: Begun | undefined =
    shape.stream === "server" ? undefined : begin(EMPTY, Flag.REMOTE_OPEN, pending);

  function receive(message: Uint8Array): void {
    if (incoming.push(message)) return;
    begun?.fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, "messages arrive faster than they are read"));
  }
  function finish(): void {
    incoming.finish();
    ended.abort(new TtrpcError(Code.CANCELED, "the stream has ended"));
  }
  function data(stream: number, flags: number, payload: () => Uint8Array): Promise<void> {
    return channel.inTurn(() => channel.send(stream, FrameType.DATA, flags, payload()), ended.signal);
  }
  async function* messages(): AsyncGenerator<Out, void, undefined> {
    if (begun === undefined) throw new TtrpcError(Code.FAILED_PRECONDITION, "send the request first");
    try {
      for await (const bytes of incoming) yield decodeMessage(shape.response, bytes) as Out;
    } finally {
      if (!ended.signal.aborted) begun.fail(new TtrpcError(Code.CANCELED, "the reader has left"));
    }
  }
  return {
    async send(message) {
      if (ended.signal.aborted) throw ended.signal.reason;
      if (sendClosed) throw new TtrpcError(Code.FAILED_PRECONDITION, "this side of the stream is closed");
      if (begun !== undefined) return data(begun.stream, 0, () => shape.request.encode(message).finish());
      sendClosed = true;
      begun = begin(shape.request.encode(message).finish(), Flag.REMOTE_CLOSED, pending);
      if (ended.signal.aborted) throw ended.signal.reason;
    },
    closeSend() {
      if (sendClosed || begun === undefined) return;
      sendClosed = true;
      // When the call ends before its turn comes there is nothing left to close.
      data(begun.stream, Flag.REMOTE_CLOSED | Flag.NO_DATA, () => EMPTY).catch(() => {});
    },
    async response() {
      for await (const message of messages()) return message;
      throw new TtrpcError(Code.INTERNAL, "the stream ended without a response");
    },
    [Symbol.asyncIterator]: messages,
  };
}

/** @throws TtrpcError INTERNAL if the bytes are no such message */
export function decodeMessage(type: MessageType, bytes: Uint8Array): unknown {
  try {
    return type.decode(bytes);
  } catch (cause) {
    throw new TtrpcError(Code.INTERNAL, "malformed response payload", { cause });
  }
}
