/** A row of the table: a name, and steps that both shims go through. */
import type { Scene } from "./scene.js";

/** A line in which the shims differ on purpose. */
export interface Difference {
  readonly label: string;
  readonly stock: RegExp;
  readonly ours: RegExp;
  /** Of containerd ("1.6"); without it all of them. */
  readonly generations?: RegExp;
  /** Why that is better, or cannot matter. */
  readonly reason: string;
}

/** A row that the stock shim cannot do (it crashes, hangs, refuses): ours must, and other lines do not count. */
export interface Better {
  /** By label: how the stock shim fails. When it no longer does, the row must be written anew. */
  readonly stock: Readonly<Record<string, RegExp>>;
  readonly ours: Readonly<Record<string, RegExp>>;
  readonly reason: string;
}

export type Wanted =
  | { readonly kind: "nothing" }
  | { readonly kind: "lines"; readonly differences: readonly Difference[] }
  | { readonly kind: "better"; readonly better: Better };

export interface Row {
  readonly name: string;
  readonly steps: (scene: Scene) => Promise<void>;
  /** Checked: the shims must differ in just this way. */
  readonly wanted: Wanted;
  /** Of containerd; with another one the row is left out. */
  readonly generations?: RegExp;
}

type Steps = (scene: Scene) => Promise<void>;

export function row(name: string, steps: Steps, differences: readonly Difference[] = []): Row {
  const wanted =
    differences.length > 0 ? ({ kind: "lines", differences } as const) : ({ kind: "nothing" } as const);
  return { name, steps, wanted };
}

export function betterRow(name: string, steps: Steps, better: Better): Row {
  return { name, steps, wanted: { kind: "better", better } };
}

/** A row that means something with some generations of containerd only. */
export function only(generations: RegExp, each: Row): Row {
  return { ...each, generations };
}
