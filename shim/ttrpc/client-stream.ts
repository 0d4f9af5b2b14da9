/** The client's side of a call that streams. */
import type { Channel } from "./channel.js";
import { Code, TtrpcError } from "./errors.js";
import { Flag, type Frame, FrameType } from "./frame.js";
import { MessageQueue } from "./queue.js";
import type { MessageType } from "./service.js";
import type { Response } from "./wire.js";

const EMPTY = new Uint8Array(0);

/** A client's end of a stream. Iterating ends with the stream, or throws the call's TtrpcError. */
export interface ClientStream<In, Out> extends AsyncIterable<Out> {
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

/** A method with one request waits for it before it begins the call: its request travels in the request frame. */
export function openStream<In, Out>(
  channel: Channel,
  shape: { readonly request: MessageType; readonly response: MessageType; readonly stream?: string },
  maxQueuedBytes: number,
  begin: Begin,
): ClientStream<In, Out> {
  const incoming = new MessageQueue(maxQueuedBytes);
  const pending: PendingCall = {
    onResponse: (response) => {
      if (shape.stream === "client" || response.payload.length > 0) incoming.push(response.payload);
      incoming.finish();
    },
    onData: (frame) => {
      if ((frame.flags & Flag.NO_DATA) === 0 && !incoming.push(frame.payload)) {
        begun?.fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, "messages arrive faster than they are read"));
      }
      if ((frame.flags & Flag.REMOTE_CLOSED) !== 0) incoming.finish();
    },
    fail: (error) => {
      failure = error;
      incoming.fail(error);
    },
  };
  let failure: TtrpcError | undefined;
  let sendClosed = false;
  let begun: Begun | undefined =
    shape.stream === "server" ? undefined : begin(EMPTY, Flag.REMOTE_OPEN, pending);

  async function* messages(): AsyncGenerator<Out, void, undefined> {
    for await (const bytes of incoming) yield decodeMessage(shape.response, bytes) as Out;
  }
  return {
    async send(message) {
      if (failure !== undefined) throw failure;
      if (sendClosed) throw new TtrpcError(Code.FAILED_PRECONDITION, "this side of the stream is closed");
      const payload = shape.request.encode(message).finish();
      if (begun === undefined) {
        begun = begin(payload, Flag.REMOTE_CLOSED, pending);
        sendClosed = true;
      } else channel.send(begun.stream, FrameType.DATA, 0, payload);
      await channel.drained();
    },
    closeSend() {
      if (sendClosed || begun === undefined || failure !== undefined) return;
      sendClosed = true;
      channel.send(begun.stream, FrameType.DATA, Flag.REMOTE_CLOSED | Flag.NO_DATA, EMPTY);
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
