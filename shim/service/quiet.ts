/** Notices that a busy time is over, e.g. to give its memory back. A shim at rest has no timer of this. */
import { uptimeMs } from "../time.js";

/** As long as this without an event is quiet. */
const QUIET_MS = 1500;
/** Fewer events than a container's life has leave nothing behind that would be worth the work. */
const WORTH = 10;

export class Quiet {
  #events = 0;
  #last = 0;
  #watched = false;

  /** @param act called once after each busy time */
  constructor(
    private readonly act: () => void,
    private readonly ms = QUIET_MS,
  ) {}

  /** Something happened. */
  disturb(): void {
    this.#events += 1;
    this.#last = uptimeMs();
    if (!this.#watched && this.#events >= WORTH) this.#watch(this.ms);
  }

  #watch(ms: number): void {
    this.#watched = true;
    setTimeout(() => {
      const left = this.#last + this.ms - uptimeMs();
      if (left > 0) return this.#watch(left);
      this.#watched = false;
      this.#events = 0;
      this.act();
    }, ms).unref();
  }
}
