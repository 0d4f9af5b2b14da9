/** Which blocks of code have run: V8's own counters. */
import { Session } from "node:inspector";

export class Coverage {
  readonly #session = new Session();
  readonly #seen = new Set<string>();

  /** @param covers parts of the paths of the files that count */
  constructor(private readonly covers: readonly string[]) {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** How many blocks are known. */
  get blocks(): number {
    return this.#seen.size;
  }

  /** Blocks that have run since the last call and are not known yet. */
  fresh(): Set<string> {
    const found = new Set<string>();
    // The answer comes before post returns: the session is in our own thread.
    this.#session.post("Profiler.takePreciseCoverage", (error, { result }) => {
      if (error !== null) throw error;
      for (const { scriptId, url, functions } of result) {
        if (!this.covers.some((part) => url.includes(part))) continue;
        for (const { startOffset, endOffset, count } of functions.flatMap(({ ranges }) => ranges)) {
          const block = `${scriptId}:${startOffset}-${endOffset}`;
          if (count > 0 && !this.#seen.has(block)) found.add(block);
        }
      }
    });
    return found;
  }

  learn(blocks: Iterable<string>): void {
    for (const block of blocks) this.#seen.add(block);
  }

  close(): void {
    this.#session.disconnect();
  }
}
