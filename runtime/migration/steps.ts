/** The order of a migration's steps: each is legal in one state only, and one runs at a time. */
import { MigrationError } from "./error.js";

type Of<P extends { readonly kind: string }, K extends P["kind"]> = Extract<P, { readonly kind: K }>;

export class Steps<P extends { readonly kind: string }> {
  #underWay: { readonly name: string; readonly done: Promise<unknown> } | undefined;

  /** @param phase the tagged union's present member */
  constructor(public phase: P) {}

  /** Settles with the step under way; undefined when there is none. */
  get underWay(): Promise<unknown> | undefined {
    return this.#underWay?.done;
  }

  /**
   * Runs one step.
   * @param failed turns what a step threw into what its caller sees, after whatever has to be undone
   * @throws MigrationError `wrong-state` when the state has no such step or another is under way
   */
  async run<K extends P["kind"], T>(
    name: string,
    kind: K,
    step: (phase: Of<P, K>) => Promise<T>,
    failed: (name: string, thrown: unknown) => Promise<MigrationError>,
  ): Promise<T> {
    const { phase } = this;
    if (this.#underWay) {
      throw new MigrationError("wrong-state", `${this.#underWay.name} is under way: ${name} has to wait`);
    }
    if (!is(phase, kind)) {
      throw new MigrationError("wrong-state", `${name} is not possible: the migration is ${phase.kind}`);
    }
    const done = step(phase);
    this.#underWay = { name, done };
    try {
      return await done;
    } catch (thrown) {
      throw await failed(name, thrown);
    } finally {
      this.#underWay = undefined;
    }
  }

  /** @throws MigrationError `cancelled` when the migration was given up while a step was waiting */
  still(...kinds: readonly P["kind"][]): void {
    if (kinds.includes(this.phase.kind)) return;
    throw new MigrationError("cancelled", "the migration was given up meanwhile");
  }

  /** @throws MigrationError `cancelled`, as `still` */
  advance(from: P["kind"], to: P): void {
    this.still(from);
    this.phase = to;
  }
}

function is<P extends { readonly kind: string }, K extends P["kind"]>(phase: P, kind: K): phase is Of<P, K> {
  return phase.kind === kind;
}
