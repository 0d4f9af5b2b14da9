/** What can be fuzzed. */
import type { Random } from "./random.js";

export interface Target {
  readonly name: string;
  /** what the code under test normally gets */
  readonly seeds: readonly Buffer[];
  readonly mutate: (random: Random, input: Buffer) => Buffer;
  /** parts of the paths of the compiled files whose coverage guides the search */
  readonly covers: readonly string[];
  open?(): Promise<void>;
  /** Throws when the code under test does what it must not. Depends on the input alone. */
  run(input: Buffer): void | Promise<void>;
  close?(): Promise<void>;
}
