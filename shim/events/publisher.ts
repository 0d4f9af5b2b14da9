/**
 * Hands events to containerd in the order in which they happened, one at a time. While containerd is away they
 * wait for its return. A call that fails is tried again on a new connection; an event that containerd does not take
 * is dropped with a log line, for what follows (an exit!) matters more.
 */
import { messageOf } from "../errors.js";
import type { Log } from "../log.js";
import { settledWithin, sleep } from "../time.js";
import type { TaskEvent } from "./events.js";

/** There is no containerd, as while it is being updated. */
export class NobodyThere extends Error {}

/** Delivers one event; rejects when it was not accepted, with NobodyThere when it could not be offered. Bounded. */
export type Deliver = (event: TaskEvent) => Promise<void>;

export interface EventSink {
  publish(event: TaskEvent): void;
}

const ATTEMPTS = 6;
const MAX_PAUSE_MS = 5000;
/** Bounds the memory kept for a containerd that is away: some hours of a busy container. */
const MAX_QUEUE = 10_000;

export class Publisher implements EventSink {
  readonly #deliver: Deliver;
  readonly #log: Log;
  readonly #pauseMs: number;
  readonly #queue: TaskEvent[] = [];
  #working: Promise<void> | undefined;

  /** @param pauseMs before the second attempt; later pauses grow by as much each, up to 5 s */
  constructor(deliver: Deliver, log: Log, pauseMs = 1000) {
    this.#deliver = deliver;
    this.#log = log;
    this.#pauseMs = pauseMs;
  }

  publish(event: TaskEvent): void {
    if (this.#queue.length >= MAX_QUEUE) {
      this.#log.error({ topic: event.topic }, "too many events wait for containerd, one is dropped");
      return;
    }
    this.#queue.push(event);
    this.#working ??= this.#work();
  }

  /** Resolves true when everything published so far has been handled within `ms` milliseconds. */
  flush(ms: number): Promise<boolean> {
    return settledWithin(ms, this.#working ?? Promise.resolve());
  }

  async #work(): Promise<void> {
    for (;;) {
      const event = this.#queue.shift();
      if (!event) break;
      await this.#persist(event);
    }
    this.#working = undefined;
  }

  async #persist(event: TaskEvent): Promise<void> {
    let refusals = 0;
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#deliver(event);
      } catch (error) {
        if (!(error instanceof NobodyThere)) refusals++;
        const last = refusals === ATTEMPTS;
        const what = { topic: event.topic, attempt, error: messageOf(error) };
        if (last) return this.#log.error(what, "event dropped: containerd does not take it");
        this.#log.warn(what, "event not delivered, trying again");
        await sleep(Math.min(this.#pauseMs * attempt, MAX_PAUSE_MS));
      }
    }
  }
}
