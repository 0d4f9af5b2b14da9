/** Bounds what one peer can make us keep in memory. */
import protobuf from "protobufjs/minimal.js";

const { Reader } = protobuf;

/** What a call or a waiting message takes besides its bytes: objects, timers, closures. */
const BASE_BYTES = 1024;
/** What a field of a decoded message can take: a repeated field of two bytes becomes an object. */
const FIELD_BYTES = 256;

/** Bytes of memory, given out up to a limit. */
export class Budget {
  #free: number;

  constructor(readonly limit: number) {
    this.#free = limit;
  }

  /** @returns false, and takes nothing, if less is left */
  take(bytes: number): boolean {
    if (bytes > this.#free) return false;
    this.#free -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#free += bytes;
  }
}

/** About how much memory a message takes at most, encoded and decoded, in bytes. Bytes that are no message cost their length. */
export function costOf(message: Uint8Array): number {
  return BASE_BYTES + message.length + FIELD_BYTES * countFields(message);
}

/** The fields of a message, without those of the messages in it. */
function countFields(message: Uint8Array): number {
  const reader = Reader.create(message);
  let count = 0;
  try {
    for (; reader.pos < reader.len; count += 1) {
      const tag = reader.uint32();
      // There is no field 0: these are other bytes than a message's.
      if (tag < 8) break;
      reader.skipType(tag & 7);
    }
  } catch {
    // Decoding will find the same fault and tell of it.
  }
  return count;
}
