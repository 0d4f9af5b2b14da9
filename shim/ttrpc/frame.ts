/** The frames of ttrpc: a header of 10 bytes (length, stream id, type, flags; big endian), then the payload. */
import { Code, TtrpcError } from "./errors.js";

export const HEADER_BYTES = 10;
/** Longest payload that either side may send, in bytes. */
export const MAX_PAYLOAD_BYTES = 4 << 20;

export const FrameType = { REQUEST: 1, RESPONSE: 2, DATA: 3 } as const;

export const Flag = {
  /** The sender sends no more on this stream. */
  REMOTE_CLOSED: 1,
  /** The sender will send more on this stream. */
  REMOTE_OPEN: 2,
  /** The frame holds no message at all (not even an empty one). */
  NO_DATA: 4,
} as const;

export interface Frame {
  readonly kind: "frame";
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** A frame whose payload was longer than allowed; the payload is skipped, the connection goes on. */
export interface OversizedFrame {
  readonly kind: "oversized";
  readonly stream: number;
  readonly type: number;
  /** announced length in bytes */
  readonly length: number;
}

/**
 * The bytes of one frame.
 * @throws TtrpcError RESOURCE_EXHAUSTED if the payload is longer than {@link MAX_PAYLOAD_BYTES}
 */
export function encodeFrame(stream: number, type: number, flags: number, payload: Uint8Array): Buffer {
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new TtrpcError(
      Code.RESOURCE_EXHAUSTED,
      `message of ${payload.length} bytes is longer than the limit of ${MAX_PAYLOAD_BYTES}`,
    );
  }
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  bytes.writeUInt32BE(payload.length, 0);
  bytes.writeUInt32BE(stream, 4);
  bytes.writeUInt8(type, 8);
  bytes.writeUInt8(flags, 9);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

type Header = Pick<Frame, "stream" | "type" | "flags"> & { readonly length: number };

const NOTHING = Buffer.alloc(0);
const FIRST_PIECE_BYTES = 512;

/**
 * Cuts a byte stream into frames. Holds at most one unfinished frame, in one piece however finely the bytes were cut:
 * memory is taken as bytes arrive, never as a header announces them.
 */
export class FrameDecoder {
  readonly #maxPayload: number;
  /** bytes given to push and not looked at yet */
  #input: Buffer = NOTHING;
  /** the start of a header or payload whose rest has not arrived */
  #piece: Buffer = NOTHING;
  #pieceBytes = 0;
  #header: Header | undefined;
  /** bytes of an oversized payload still to be thrown away */
  #skip = 0;

  constructor(maxPayload: number = MAX_PAYLOAD_BYTES) {
    this.#maxPayload = maxPayload;
  }

  /** Takes the next bytes, yields every frame that they complete; to be iterated to its end. */
  *push(chunk: Buffer): Generator<Frame | OversizedFrame, void, undefined> {
    this.#input = chunk;
    for (;;) {
      this.#skip -= this.#consume(this.#skip).length;
      if (this.#skip > 0) return;
      this.#header ??= this.#readHeader();
      const header = this.#header;
      if (header === undefined) return;
      const { length, ...rest } = header;
      if (length > this.#maxPayload) {
        this.#header = undefined;
        this.#skip = length;
        yield { kind: "oversized", stream: rest.stream, type: rest.type, length };
        continue;
      }
      const payload = this.#collect(length);
      if (payload === undefined) return;
      this.#header = undefined;
      yield { kind: "frame", ...rest, payload };
    }
  }

  #readHeader(): Header | undefined {
    const bytes = this.#collect(HEADER_BYTES);
    if (bytes === undefined) return undefined;
    return {
      length: bytes.readUInt32BE(0),
      stream: bytes.readUInt32BE(4),
      type: bytes.readUInt8(8),
      flags: bytes.readUInt8(9),
    };
  }

  /** Exactly `length` bytes, without a copy if the input has them all; undefined as long as some are missing. */
  #collect(length: number): Buffer | undefined {
    if (this.#pieceBytes === 0 && this.#input.length >= length) return this.#consume(length);
    const part = this.#consume(length - this.#pieceBytes);
    this.#reserve(this.#pieceBytes + part.length, length);
    this.#pieceBytes += part.copy(this.#piece, this.#pieceBytes);
    if (this.#pieceBytes < length) return undefined;
    const whole = this.#piece.subarray(0, length);
    this.#piece = NOTHING;
    this.#pieceBytes = 0;
    return whole;
  }

  /** Makes room for `needed` bytes, doubling so that copying stays linear, up to the `final` size. */
  #reserve(needed: number, final: number): void {
    if (this.#piece.length >= needed) return;
    const size = Math.min(final, Math.max(needed, 2 * this.#piece.length, FIRST_PIECE_BYTES));
    const larger = Buffer.allocUnsafe(size);
    this.#piece.copy(larger, 0, 0, this.#pieceBytes);
    this.#piece = larger;
  }

  /** The next bytes of the input, at most `most`. */
  #consume(most: number): Buffer {
    const bytes = this.#input.subarray(0, most);
    this.#input = this.#input.subarray(bytes.length);
    return bytes;
  }
}
