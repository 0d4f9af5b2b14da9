/** Messages of a stream, sorted by kind, for those who wait for them; a lost stream fails all waiting. */
import { AgentError } from "./errors.js";

interface Waiter<T> {
  readonly kind: string;
  resolve(message: T): void;
  reject(error: Error): void;
}

/** Messages that nobody waits for; more than that is no orderly peer. */
const MAX_WAITING = 4096;

export class Inbox<T> {
  private readonly waiting: { kind: string; message: T }[] = [];
  private readonly waiters = new Set<Waiter<T>>();
  private failure: AgentError | undefined;

  push(kind: string, message: T): void {
    for (const waiter of this.waiters) {
      if (waiter.kind !== kind) continue;
      this.waiters.delete(waiter);
      waiter.resolve(message);
      return;
    }
    this.waiting.push({ kind, message });
    if (this.waiting.length > MAX_WAITING)
      this.fail(new AgentError("PROTOCOL", "the peer sends more than was asked for"));
  }

  /** No more will come. What waits now, or later, gets this error; the first one counts. */
  fail(error: AgentError): void {
    this.failure ??= error;
    for (const waiter of this.waiters) waiter.reject(this.failure);
    this.waiters.clear();
  }

  get failed(): AgentError | undefined {
    return this.failure;
  }

  /** The next message of a kind. @throws AgentError TIMEOUT, or why the stream ended */
  next(kind: string, timeoutMs: number, signal?: AbortSignal): Promise<T> {
    const at = this.waiting.findIndex((one) => one.kind === kind);
    const [found] = at < 0 ? [] : this.waiting.splice(at, 1);
    if (found !== undefined) return Promise.resolve(found.message);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise<T>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.waiters.delete(waiter);
        signal?.removeEventListener("abort", aborted);
      };
      const waiter: Waiter<T> = {
        kind,
        resolve: (message) => {
          settle();
          resolve(message);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      const aborted = () => waiter.reject(AgentError.from(signal?.reason, "CANCELLED"));
      const timer = setTimeout(() => {
        waiter.reject(
          new AgentError(
            "TIMEOUT",
            `the peer did not answer with ${kind} within ${Math.round(timeoutMs)} ms`,
          ),
        );
      }, timeoutMs);
      this.waiters.add(waiter);
      if (signal?.aborted) aborted();
      signal?.addEventListener("abort", aborted, { once: true });
    });
  }
}
