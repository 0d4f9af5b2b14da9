/** Who may touch a container while a migration has it. */
import { refused } from "../errors.js";
import type { Interruption, MoveLease, MoveLeaseOptions } from "./migratable.js";

export class MoveGuard {
  readonly #id: string;
  #current: MoveLeaseOptions | undefined;

  constructor(id: string) {
    this.#id = id;
  }

  begin(options: MoveLeaseOptions): MoveLease {
    this.mustBeFree("begin a migration");
    this.#current = options;
    return {
      end: () => {
        if (this.#current === options) this.#current = undefined;
      },
    };
  }

  /** @throws ShimError FAILED_PRECONDITION during a move */
  mustBeFree(what: string): void {
    if (!this.#current) return;
    const { migration } = this.#current;
    const remedy = `wait for its end, or cancel it: pclive cancel ${migration}`;
    throw refused(`cannot ${what}: container ${this.#id} is being moved by migration ${migration}`, remedy);
  }

  /** Before the user's Kill or Delete: the migration rolls back or says why not. */
  async makeWay(why: Interruption): Promise<void> {
    await this.#current?.makeWay(why);
  }
}
