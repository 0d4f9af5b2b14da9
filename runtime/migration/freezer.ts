/**
 * The container's freezer, used directly: `runc pause` costs a process start, and CRIU polls in steps of
 * 100 ms, both in the middle of the pause that a client sees.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { MigrationError } from "./error.js";
import type { Cgroup } from "./types.js";

export type FreezerState = "frozen" | "freezing" | "thawed";

/** Below this many milliseconds a freeze is awaited without sleeping: it mostly takes less than one. */
const SPIN_MS = 3;
/** A v1 freezer may get stuck in FREEZING (tasks in vfork, among others): asking again helps. */
const ASK_AGAIN_MS = 50;

export class Freezer {
  constructor(private readonly cgroup: Cgroup) {}

  /** @throws MigrationError `freeze-failed` when the cgroup is gone */
  state(): FreezerState {
    try {
      return this.cgroup.version === 1 ? this.#stateV1() : this.#stateV2();
    } catch (error) {
      throw new MigrationError(
        "freeze-failed",
        `the container's freezer cannot be read: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Resolves when every task of the container is stopped; returns the milliseconds that it took.
   * @throws MigrationError `freeze-failed`; the container is then thawed again, as far as that is possible
   */
  async freeze(timeoutMs: number): Promise<number> {
    const begin = performance.now();
    this.#ask(true);
    try {
      await this.awaitState("frozen", timeoutMs);
    } catch (error) {
      this.#ask(false);
      throw error;
    }
    return performance.now() - begin;
  }

  /** Idempotent. @throws MigrationError `freeze-failed` when the container stays frozen */
  async thaw(timeoutMs: number): Promise<void> {
    this.#ask(false);
    await this.awaitState("thawed", timeoutMs);
  }

  /** Waits for a state, asking for it again now and then. @throws MigrationError `freeze-failed` */
  async awaitState(wanted: "frozen" | "thawed", timeoutMs: number): Promise<void> {
    const begin = performance.now();
    let asked = begin;
    for (let state = this.state(); state !== wanted; state = this.state()) {
      const now = performance.now();
      if (now - begin >= timeoutMs) {
        throw new MigrationError(
          "freeze-failed",
          `after ${timeoutMs} ms the container is ${state}, not ${wanted}`,
          {
            remedy:
              "look for tasks of the container in uninterruptible sleep (state D) or traced by a debugger",
          },
        );
      }
      if (now - asked >= ASK_AGAIN_MS) {
        asked = now;
        this.#ask(wanted === "frozen");
      }
      await (now - begin < SPIN_MS ? nextTurn() : sleep(1));
    }
  }

  #ask(frozen: boolean): void {
    const [file, text] =
      this.cgroup.version === 1
        ? ["freezer.state", frozen ? "FROZEN" : "THAWED"]
        : ["cgroup.freeze", frozen ? "1" : "0"];
    try {
      writeFileSync(join(this.cgroup.freezerPath, file), text);
    } catch (error) {
      throw new MigrationError(
        "freeze-failed",
        `the container's freezer cannot be set: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  #stateV1(): FreezerState {
    const text = this.#read("freezer.state");
    if (text === "FROZEN") return "frozen";
    return text === "FREEZING" ? "freezing" : "thawed";
  }

  #stateV2(): FreezerState {
    // cgroup.freeze is what was asked for, cgroup.events what is.
    if (/^frozen 1$/m.test(this.#read("cgroup.events"))) return "frozen";
    return this.#read("cgroup.freeze") === "1" ? "freezing" : "thawed";
  }

  #read(file: string): string {
    return readFileSync(join(this.cgroup.freezerPath, file), "utf8").trim();
  }
}

/** Every process of the container's cgroups. Those that vanish meanwhile are not there. */
export function processesOf(cgroup: Cgroup): number[] {
  const pids = cgroup.procsPaths.flatMap((path) => {
    try {
      return readFileSync(path, "utf8").split("\n").filter(Boolean).map(Number);
    } catch {
      return [];
    }
  });
  return [...new Set(pids)];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
