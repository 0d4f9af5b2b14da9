/** What the engine and the overlay say while it happens, as spans. */
import type { EngineEvent } from "../migration/engine-messages.js";
import type { Recorder } from "./recorder.js";

type Name = EngineEvent["event"];

/** From one event to another. */
const STRETCHES: readonly { from: Name; to: Name; track: string; name: string }[] = [
  { from: "connected", to: "final", track: "engine", name: "rounds received" },
  { from: "final", to: "files", track: "engine", name: "last pages and skeleton received" },
  { from: "files", to: "go", track: "engine", name: "staging completed" },
  { from: "go", to: "held", track: "engine", name: "CRIU restores" },
  { from: "held", to: "released", track: "engine", name: "held" },
  { from: "dumped", to: "dump-left", track: "engine", name: "CRIU lets go" },
];

export class EngineTrace {
  readonly #seen = new Map<Name, number>();
  #moving: number | undefined;

  constructor(private readonly recorder: Recorder) {}

  notice(event: EngineEvent): void {
    const at = Number(BigInt(event.t) / 1000n) / 1000;
    if (event.event === "mark") this.#mark(event.name, at, event.ms);
    if (this.#seen.has(event.event)) return;
    this.#seen.set(event.event, at);
    for (const { to, from, track, name } of STRETCHES) {
      const begun = this.#seen.get(from);
      if (to === event.event && begun !== undefined)
        this.recorder.add({ track, name, at: begun, ms: Math.max(0, at - begun) });
    }
  }

  /** The overlay tells when memory began to be moved into place, and when it had been. */
  #mark(name: string, at: number, spentMs: number | undefined): void {
    if (name === "mappings-begin") this.#moving = at;
    if (name !== "mappings-end" || this.#moving === undefined) return;
    const figures = { spentMs: spentMs ?? 0 };
    this.recorder.add({
      ...{ track: "overlay", name: "memory moved into place", at: this.#moving },
      ...{ ms: Math.max(0, at - this.#moving), figures },
    });
  }
}
