/**
 * The migrations of this shim, and their leases: the connection on which an agent began one. When it closes,
 * a source that has not committed rolls back, and a destination that does not hold the container gives up.
 * A destination that holds it waits for any agent to say how it ended: the source may have committed.
 */
import {
  type DestinationMigration,
  MigrationError,
  type SourceMigration,
} from "../../runtime/migration/index.js";
import type { IncomingTask, Interruption, MigratableContainer, ShimHost } from "../container/migratable.js";
import { messageOf, refused } from "../errors.js";

export type Entry =
  | { readonly role: "source"; readonly container: MigratableContainer; readonly move: SourceMigration }
  | {
      readonly role: "destination";
      readonly container: MigratableContainer;
      readonly move: DestinationMigration;
    };

/** A program may use these for itself: while it still runs they mean no end. */
const FATAL_SIGNALS: readonly number[] = [2, 3, 6, 9, 15];
const LEASE_LOST = "the agent's connection closed";

export class MigrationRegistry {
  readonly #entries = new Map<string, Entry>();
  /** What to give back when a migration is over. */
  readonly #holds = new Map<string, () => void>();

  constructor(private readonly host: ShimHost) {}

  /** @throws MigrationError `not-found` */
  container(id: string): MigratableContainer {
    const container = this.host.container(id);
    if (container) return container;
    throw new MigrationError("not-found", `this shim has no container ${id}`, { remedy: "see ctr tasks ls" });
  }

  /** @throws MigrationError when it is not here or belongs to another container */
  find<R extends Entry["role"]>(migration: string, id: string, role: R): Extract<Entry, { role: R }> {
    const entry = this.#entries.get(migration);
    if (!entry || entry.role !== role || entry.container.id !== id) {
      throw new MigrationError(
        "wrong-state",
        `no migration ${migration} of ${id} as ${role} is under way here`,
        {
          remedy: "ask for its State",
        },
      );
    }
    return entry as Extract<Entry, { role: R }>;
  }

  get(migration: string): Entry | undefined {
    return this.#entries.get(migration);
  }

  /**
   * Takes a running container for a move.
   * @throws when it is being moved already, or does not run
   */
  addSource(
    migration: string,
    container: MigratableContainer,
    move: SourceMigration,
    lease: AbortSignal,
  ): void {
    this.#mustBeNew(migration, lease);
    if (container.state() !== "running") {
      throw new MigrationError(
        "unsupported",
        `container ${container.id} is ${container.state()}, not running`,
        {
          remedy: "only running containers can be moved",
        },
      );
    }
    const held = container.beginMove({ migration, makeWay: (why) => this.#makeWay(move, why) });
    const shutdown = this.host.holdShutdown();
    this.#add(migration, { role: "source", container, move }, () => {
      held.end();
      shutdown();
    });
    lease.addEventListener("abort", () => {
      if (!move.committed) void this.#giveUp(migration, () => move.rollback(LEASE_LOST));
    });
  }

  /** @throws MigrationError when the task was not made for this migration */
  addDestination(
    migration: string,
    container: MigratableContainer,
    move: DestinationMigration,
    lease: AbortSignal,
  ): void {
    this.#mustBeNew(migration, lease);
    this.#add(migration, { role: "destination", container, move }, this.host.holdShutdown());
    lease.addEventListener("abort", () => {
      if (!move.held) void this.#giveUp(migration, () => move.abort(LEASE_LOST));
    });
  }

  /** @throws MigrationError `unsupported` */
  incoming(migration: string, container: MigratableContainer): IncomingTask {
    const incoming = container.incoming();
    if (incoming?.migration === migration) return incoming;
    throw new MigrationError(
      "unsupported",
      `container ${container.id} was not created for migration ${migration}`,
      {
        remedy: "create the task with pclive.shim.v1.IncomingOptions among its options",
      },
    );
  }

  /** After a step: whatever has ended is let go. Its record remains for questions. */
  tidy(migration: string): void {
    if (!this.#entries.get(migration)?.move.ended) return;
    this.#entries.delete(migration);
    this.#holds.get(migration)?.();
    this.#holds.delete(migration);
  }

  #mustBeNew(migration: string, lease: AbortSignal): void {
    if (lease.aborted) throw new MigrationError("cancelled", LEASE_LOST);
    if (!this.#entries.has(migration)) return;
    throw new MigrationError("wrong-state", `migration ${migration} is under way already`);
  }

  #add(migration: string, entry: Entry, letGo: () => void): void {
    this.#entries.set(migration, entry);
    this.#holds.set(migration, letGo);
  }

  async #giveUp(migration: string, end: () => Promise<unknown>): Promise<void> {
    this.host.log.warn({ migration }, `${LEASE_LOST}: giving up`);
    try {
      await end();
    } catch (error) {
      this.host.log.error({ migration, error: messageOf(error) }, "could not give up");
    }
    this.tidy(migration);
  }

  /** Before the user's Kill or Delete at the source. */
  async #makeWay(move: SourceMigration, why: Interruption): Promise<void> {
    if (move.ended) return;
    if (why.kind === "kill" && move.running && !FATAL_SIGNALS.includes(why.signal)) return;
    if (!move.committed) await move.rollback(`the container gets a ${why.kind}`);
    if (move.committed) {
      throw refused(
        "the container has been given to another host",
        "use the container there; see pclive status",
      );
    }
  }
}
