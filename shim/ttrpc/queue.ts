import { type Budget, costOf } from "./budget.js";
import { Code, TtrpcError } from "./errors.js";

type End = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: TtrpcError };

interface Waiting {
  readonly message: Uint8Array;
  readonly cost: number;
}

/**
 * Messages of one stream between the socket and one reader. ttrpc knows no flow control, so the memory that waits
 * is bounded: a reader that is too slow loses its stream, not the process its memory.
 */
export class MessageQueue implements AsyncIterable<Uint8Array> {
  readonly #maxBytes: number;
  readonly #budget: Budget;
  #waiting: Waiting[] = [];
  /** index in #waiting of what is read next: removing the first element of a long array is slow */
  #first = 0;
  #bytes = 0;
  #end: End | undefined;
  #wake: (() => void) | undefined;

  /**
   * @param maxBytes most memory that may wait for this reader
   * @param budget what all readers of the connection share
   */
  constructor(maxBytes: number, budget: Budget) {
    this.#maxBytes = maxBytes;
    this.#budget = budget;
  }

  /** @returns false if the message does not fit: the queue has then failed */
  push(message: Uint8Array): boolean {
    if (this.#end !== undefined) return true;
    const cost = costOf(message);
    if (this.#bytes + cost > this.#maxBytes || !this.#budget.take(cost)) {
      this.fail(new TtrpcError(Code.RESOURCE_EXHAUSTED, `more than ${this.#bytes} bytes wait to be read`));
      return false;
    }
    this.#bytes += cost;
    this.#waiting.push({ message, cost });
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
    this.#first = 0;
    this.#release(this.#bytes);
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    for (;;) {
      const next = this.#shift();
      if (next !== undefined) {
        this.#release(next.cost);
        yield next.message;
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

  #shift(): Waiting | undefined {
    const next = this.#waiting[this.#first];
    if (next === undefined) return undefined;
    this.#first += 1;
    if (2 * this.#first >= this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return next;
  }

  #release(bytes: number): void {
    this.#bytes -= bytes;
    this.#budget.give(bytes);
  }
}
