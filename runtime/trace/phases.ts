/** Phases that follow each other: each lasts until the next begins. */
import type { Recorder } from "./recorder.js";

export class Phases {
  #end: (() => void) | undefined;

  constructor(
    private readonly recorder: Recorder,
    private readonly track: string,
  ) {}

  enter(name: string): void {
    this.#end?.();
    this.#end = this.recorder.begin(this.track, name);
  }

  end(): void {
    this.#end?.();
    this.#end = undefined;
  }
}
