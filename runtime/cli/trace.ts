/** The file of `pclive migrate --trace`. */
import { accessSync, constants, existsSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { pclive } from "#protos/agent";
import { chromeTrace, type Side } from "../trace/chrome.js";
import { fromWire } from "../trace/wire.js";
import { usage } from "./options.js";

export class TraceFile {
  readonly #path: string;
  readonly #parts: pclive.agent.v1.ITracePart[] = [];

  /** @throws CliError USAGE when it cannot be written */
  constructor(path: string) {
    this.#path = resolve(path);
    try {
      accessSync(existsSync(this.#path) ? this.#path : dirname(this.#path), constants.W_OK);
    } catch (error) {
      throw usage(`--trace ${path} cannot be written: ${(error as Error).message}`, "name another file");
    }
  }

  add(part: pclive.agent.v1.ITracePart): void {
    this.#parts.push(part);
  }

  /** Does nothing when there is nothing to tell: a migration that failed early. */
  write(): void {
    const [first] = this.#parts;
    if (!first) return;
    const pause = first.pauseTo ? { from: first.pauseFrom ?? 0, to: first.pauseTo } : undefined;
    const clocks = {
      offsetMs: first.clockOffsetMs ?? 0,
      errorMs: first.clockErrorMs ?? 0,
      roundTripMs: first.roundTripMs ?? 0,
    };
    const sides = [this.#side("source"), this.#side("destination")];
    writeFileSync(this.#path, `${JSON.stringify(chromeTrace(sides, clocks, pause))}\n`);
  }

  #side(role: Side["role"]): Side {
    const parts = this.#parts.filter((part) => part.role === role);
    return { role, host: parts[0]?.host ?? role, spans: parts.flatMap((part) => fromWire(part.spans)) };
  }
}
