/** How long the restore took, as far as somebody waited for it. */
import { join } from "node:path";
import { parseLog, readLog } from "../criu/log.js";
import { memoryRestoreMs } from "../criu/restore-time.js";
import type { DestinationParts } from "./destination-undo.js";
import type { EventOf } from "./engine-messages.js";
import type { Strategy } from "./types.js";

export interface RestoreFigures {
  /** Milliseconds from go (all is here) to everything restored and held. */
  readonly restoreMs: number;
  /** Milliseconds of it that brought memory into place. */
  readonly memoryRestoreMs: number;
  /** Unix time, ms. */
  readonly heldAt: number;
}

const GO_MS = 1_000;

/** @throws MigrationError when the engine said "held" without "go" */
export async function restoreFigures(
  parts: DestinationParts,
  held: EventOf<"held">,
  strategy: Strategy,
): Promise<RestoreFigures> {
  // In one-shot strategies everything is here once the images are complete; starting runC is part of the restore.
  const start = await parts.engine.event(strategy === "pipelined" ? "go" : "images-ready", GO_MS);
  const heldAt = unixMs(held.t);
  return {
    restoreMs: Math.max(0, heldAt - unixMs(start.t)),
    memoryRestoreMs: strategy === "pipelined" ? held.memoryRestoreMs : await fromLog(parts),
    heldAt,
  };
}

async function fromLog(parts: DestinationParts): Promise<number> {
  const log = await readLog(join(parts.scratch.work, "restore.log"));
  return log === undefined ? 0 : memoryRestoreMs(parseLog(log));
}

/** CLOCK_REALTIME in nanoseconds to milliseconds, with fractions. */
function unixMs(nanoseconds: string): number {
  const value = BigInt(nanoseconds);
  return Number(value / 1_000_000n) + Number(value % 1_000_000n) / 1e6;
}
