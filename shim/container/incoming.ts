/** An init that a migration brings: Start waits for it. */
import { ShimError, type ShimErrorCode } from "../errors.js";
import type { MigratedIo } from "../io/migrated.js";
import { within } from "../time.js";
import type { InitSource } from "./init.js";
import type { IncomingTask } from "./migratable.js";
import type { Reaper } from "./reaper.js";

/** Start is called after the release, so this is only for what got lost. */
const ADOPTION_MS = 60_000;

type Arrival =
  | { readonly kind: "expected" }
  | { readonly kind: "adopted"; readonly pid: number }
  | { readonly kind: "failed"; readonly error: ShimError };

/** What the container does when its init has come, or will not come. */
export interface IncomingHooks {
  adopted(pid: number): void;
  failed(): void;
}

export class IncomingInit implements InitSource, IncomingTask {
  readonly migration: string;
  readonly #io: MigratedIo;
  readonly #hooks: IncomingHooks;
  /** From Create on, so that an end of init right after its restore is not missed. */
  readonly #expected: { done(): void };
  #arrival: Arrival = { kind: "expected" };
  #wake: () => void = () => {};
  readonly #arrived: Promise<void>;

  constructor(migration: string, io: MigratedIo, reaper: Reaper, hooks: IncomingHooks) {
    this.migration = migration;
    this.#io = io;
    this.#hooks = hooks;
    this.#expected = reaper.expectStart();
    this.#arrived = new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async create(): Promise<number> {
    return 0;
  }

  async start(): Promise<number> {
    await within(ADOPTION_MS, "waiting for the migration to finish", this.#arrived);
    if (this.#arrival.kind === "adopted") return this.#arrival.pid;
    if (this.#arrival.kind === "failed") throw this.#arrival.error;
    throw new ShimError("UNKNOWN", "the migration ended without a result");
  }

  async restoreStdio(descriptors: readonly string[]): Promise<readonly [number, number, number]> {
    return this.#io.open(descriptors);
  }

  stdioHandedOver(): void {
    void this.#io.started();
  }

  async adopt(pid: number): Promise<void> {
    if (this.#arrival.kind !== "expected") {
      throw new ShimError("FAILED_PRECONDITION", `the restored task was ${this.#arrival.kind} before`);
    }
    this.#arrival = { kind: "adopted", pid };
    this.#hooks.adopted(pid);
    this.#expected.done();
    this.#wake();
  }

  async failed(reason: { code: string; message: string; remedy?: string }): Promise<void> {
    if (this.#arrival.kind !== "expected") return;
    const error = new ShimError(codeOf(reason.code), `migration failed: ${reason.message}`, reason.remedy);
    this.#arrival = { kind: "failed", error };
    this.#expected.done();
    // Nobody will write into the pipes any more: their end is what Delete waits for.
    this.stdioHandedOver();
    this.#hooks.failed();
    this.#wake();
  }
}

/** Reasons of a migration that are no codes of ours are kept in the message only. */
function codeOf(code: string): ShimErrorCode {
  return code === "DEADLINE_EXCEEDED" || code === "UNAVAILABLE" ? code : "FAILED_PRECONDITION";
}
