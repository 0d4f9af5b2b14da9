/** What one process knows of where the time went, kept while it happens: nothing is formatted or written before somebody asks. */
import { unixMs } from "../clock.js";

export interface Span {
  /** Component, and what of it if several things happen at a time: "shim", "engine", "shim: network". */
  readonly track: string;
  readonly name: string;
  /** Unix time, ms, by this host's clock. */
  readonly at: number;
  readonly ms: number;
  /** Bytes, pages and the like. */
  readonly figures?: Readonly<Record<string, number>>;
}

/** A migration of many rounds: what comes later counts more, so it is the early ones that go. */
const MAX_SPANS = 4000;

export class Recorder {
  #spans: Span[] = [];

  get spans(): readonly Span[] {
    return this.#spans;
  }

  add(span: Span): void {
    this.#spans.push(span);
    if (this.#spans.length > MAX_SPANS) this.#spans = this.#spans.slice(MAX_SPANS / 2);
  }

  /** The time until the returned function is called. */
  begin(track: string, name: string): (figures?: Readonly<Record<string, number>>) => void {
    const at = unixMs();
    return (figures) =>
      this.add({ track, name, at, ms: Math.max(0, unixMs() - at), ...(figures ? { figures } : {}) });
  }

  /** How long a promise took, if it was kept. */
  async during<T>(
    track: string,
    name: string,
    work: Promise<T>,
    figures?: (result: T) => Readonly<Record<string, number>>,
  ): Promise<T> {
    const end = this.begin(track, name);
    const result = await work;
    end(figures?.(result));
    return result;
  }
}
