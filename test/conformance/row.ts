/** A row of the table: a name, and steps that both shims go through. */
import type { Scene } from "./scene.js";

/** A line in which the shims differ on purpose. */
export interface Difference {
  readonly label: string;
  readonly stock: RegExp;
  readonly ours: RegExp;
  /** Why that is better, or cannot matter. */
  readonly reason: string;
}

export interface Row {
  readonly name: string;
  readonly steps: (scene: Scene) => Promise<void>;
  /** Checked: the line must differ in just this way. */
  readonly wanted: readonly Difference[];
}

export function row(
  name: string,
  steps: (scene: Scene) => Promise<void>,
  wanted: readonly Difference[] = [],
): Row {
  return { name, steps, wanted };
}
