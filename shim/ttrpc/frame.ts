/** The frames of ttrpc: a header of 10 bytes (length, stream id, type, flags; big endian), then the payload. */

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
 * @throws RangeError if the payload is longer than {@link MAX_PAYLOAD_BYTES}
 */
export function encodeFrame(stream: number, type: number, flags: number, payload: Uint8Array): Buffer {
  if (payload.length > MAX_PAYLOAD_BYTES) {
    throw new RangeError(
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

/**
 * Cuts a byte stream into frames. Holds at most one unfinished frame: memory is taken as bytes arrive,
 * never as a header announces them.
 */
export class FrameDecoder {
  readonly #maxPayload: number;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #header: Header | undefined;
  /** bytes of an oversized payload still to be thrown away */
  #skip = 0;

  constructor(maxPayload: number = MAX_PAYLOAD_BYTES) {
    this.#maxPayload = maxPayload;
  }

  /** Takes the next bytes, yields every frame that they complete. */
  *push(chunk: Buffer): Generator<Frame | OversizedFrame, void, undefined> {
    this.#append(chunk);
    for (;;) {
      this.#header ??= this.#readHeader();
      const header = this.#header;
      if (header === undefined) return;
      if (header.length > this.#maxPayload) {
        this.#header = undefined;
        this.#skip = header.length;
        this.#discard();
        yield { kind: "oversized", stream: header.stream, type: header.type, length: header.length };
        continue;
      }
      if (this.#buffered < header.length) return;
      const payload = this.#take(header.length);
      this.#header = undefined;
      yield { kind: "frame", stream: header.stream, type: header.type, flags: header.flags, payload };
    }
  }

  #append(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    this.#discard();
  }

  #discard(): void {
    const count = Math.min(this.#skip, this.#buffered);
    if (count === 0) return;
    this.#skip -= count;
    this.#take(count);
  }

  #readHeader(): Header | undefined {
    if (this.#skip > 0 || this.#buffered < HEADER_BYTES) return undefined;
    const bytes = this.#take(HEADER_BYTES);
    return {
      length: bytes.readUInt32BE(0),
      stream: bytes.readUInt32BE(4),
      type: bytes.readUInt8(8),
      flags: bytes.readUInt8(9),
    };
  }

  /** The first `count` buffered bytes; there must be as many. */
  #take(count: number): Buffer {
    this.#buffered -= count;
    const first = this.#chunks[0];
    if (first !== undefined && first.length > count) {
      this.#chunks[0] = first.subarray(count);
      return first.subarray(0, count);
    }
    const parts: Buffer[] = [];
    let missing = count;
    let used = 0;
    for (const chunk of this.#chunks) {
      if (chunk.length > missing) break;
      parts.push(chunk);
      missing -= chunk.length;
      used += 1;
    }
    this.#chunks.splice(0, used);
    const next = this.#chunks[0];
    if (missing > 0 && next !== undefined) {
      parts.push(next.subarray(0, missing));
      this.#chunks[0] = next.subarray(missing);
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, count);
  }
}
