/** The containers of this shim. */
import type { Container } from "../container/container.js";
import { notFound, ShimError } from "../errors.js";

/** One that is being made keeps its name, so that a second Create of it is refused. */
type Entry = { readonly kind: "making" } | { readonly kind: "ready"; readonly container: Container };

export class Registry {
  readonly #entries = new Map<string, Entry>();
  #total = 0;

  get size(): number {
    return this.#entries.size;
  }

  /** All that were ever added or tried. */
  get total(): number {
    return this.#total;
  }

  find(id: string): Container | undefined {
    const entry = this.#entries.get(id);
    return entry?.kind === "ready" ? entry.container : undefined;
  }

  /** @throws ShimError NOT_FOUND */
  get(id: string): Container {
    const container = this.find(id);
    if (!container) throw notFound(`container not created: ${id} not found`);
    return container;
  }

  /** @throws ShimError ALREADY_EXISTS, or what `make` throws */
  async add(id: string, make: () => Promise<Container>): Promise<Container> {
    if (this.#entries.has(id)) {
      throw new ShimError("ALREADY_EXISTS", `container ${id} exists already`, "delete it first");
    }
    this.#entries.set(id, { kind: "making" });
    this.#total++;
    try {
      const container = await make();
      this.#entries.set(id, { kind: "ready", container });
      return container;
    } catch (error) {
      this.#entries.delete(id);
      throw error;
    }
  }

  remove(id: string): void {
    this.#entries.delete(id);
  }
}
