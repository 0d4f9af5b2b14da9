import { binding } from "./binding.js";

/** Collects all garbage and gives free memory back to the system. Takes some ten milliseconds of this thread. */
export function giveBackMemory(): void {
  binding.giveBackMemory();
}
