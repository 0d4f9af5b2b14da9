/** The migrations that are under way on this host, in either role. */
import { AgentError } from "./errors.js";
import type { Strategy } from "./manifest.js";

/** One that is under way. The session keeps the figures up to date. */
export interface Live {
  readonly migration: string;
  readonly role: "source" | "destination";
  readonly container: string;
  readonly namespace: string;
  readonly peer: string;
  readonly strategy: Strategy;
  /** Unix time, ms. */
  readonly startedAt: number;
  phase: string;
  round: number;
  bytes: number;
  /**
   * Asks it to end without moving.
   * @throws AgentError TOO_LATE after the commit
   */
  cancel(reason: string): void;
}

export class Registry {
  private readonly live = new Map<string, Live>();

  constructor(private readonly limit: number) {}

  /** @throws AgentError BUSY */
  add(one: Live): void {
    const others = [...this.live.values()];
    if (others.some((other) => other.migration === one.migration)) {
      throw new AgentError("BUSY", `migration ${one.migration} is under way here already`);
    }
    if (others.some((other) => other.container === one.container && other.namespace === one.namespace)) {
      throw new AgentError("BUSY", `${one.container} is being migrated already`, {
        remedy: "wait for it (pclive status) or cancel it (pclive cancel)",
      });
    }
    if (others.filter((other) => other.role === one.role).length >= this.limit) {
      throw new AgentError(
        "BUSY",
        `${this.limit} migrations are under way already, which is the limit here`,
        {
          remedy: "wait for one of them, or raise limits.migrations",
        },
      );
    }
    this.live.set(one.migration, one);
  }

  /** One that was under way before a restart of the agent: it is here whatever the limits are. */
  restore(one: Live): void {
    this.live.set(one.migration, one);
  }

  remove(migration: string): void {
    this.live.delete(migration);
  }

  get(migration: string): Live | undefined {
    return this.live.get(migration);
  }

  find(namespace: string, container: string): Live | undefined {
    return this.all().find((one) => one.namespace === namespace && one.container === container);
  }

  all(): Live[] {
    return [...this.live.values()];
  }
}
