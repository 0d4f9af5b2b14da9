import { Code, TtrpcError } from "./errors.js";

type End = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: TtrpcError };

/**
 * Messages of one stream between the socket and one reader. ttrpc knows no flow control, so the bytes that wait
 * are bounded: a reader that is too slow loses its stream, not the process its memory.
 */
export class MessageQueue implements AsyncIterable<Uint8Array> {
  readonly #maxBytes: number;
  #waiting: Uint8Array[] = [];
  #bytes = 0;
  #end: End | undefined;
  #wake: (() => void) | undefined;

  /** @param maxBytes most bytes that may wait for the reader */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @returns false if the message does not fit: the queue has then failed */
  push(message: Uint8Array): boolean {
    if (this.#end !== undefined) return true;
    // An empty message costs memory too.
    const cost = message.length + 64;
    if (this.#bytes + cost > this.#maxBytes) {
      this.fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, `more than ${this.#maxBytes} bytes wait to be read`));
      return false;
    }
    this.#bytes += cost;
    this.#waiting.push(message);
    this.#wake?.();
    return true;
  }

  /** The reader gets what waits, then the end. */
  finish(): void {
    this.#end ??= { kind: "done" };
    this.#wake?.();
  }

  /** What waits is dropped, the reader gets the error. */
  fail(error: TtrpcError): void {
    if (this.#end?.kind === "failed") return;
    this.#end = { kind: "failed", error };
    this.#waiting = [];
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const message = this.#waiting.shift();
      if (message !== undefined) {
        this.#bytes -= message.length + 64;
        yield message;
        continue;
      }
      if (this.#end?.kind === "failed") throw this.#end.error;
      if (this.#end !== undefined) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }
}
