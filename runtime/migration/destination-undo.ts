/** Giving up at the destination: no task, no state of runC and no mount is left. */
import { attempt, within } from "./deadline.js";
import type { Engine } from "./engine.js";
import type { NetworkLock } from "./netlock.js";
import type { PacketHold } from "./packet-hold.js";
import type { HeldRestore } from "./restore.js";
import type { Scratch } from "./scratch.js";
import type { DestinationContainer } from "./types.js";

/** What a destination holds from prepare to its end. */
export interface DestinationParts {
  readonly container: DestinationContainer;
  readonly libDir: string;
  readonly scratch: Scratch;
  readonly engine: Engine;
  readonly lock: NetworkLock | undefined;
  readonly hold: PacketHold | undefined;
  restore: HeldRestore | undefined;
}

const STEP_MS = 15_000;

/**
 * Every part is tried whatever became of the others. The network stays locked: the address may still be the
 * source's, and whoever made the namespace takes it away. Returns the folder of the logs that were kept.
 * @param acquired asked anew before each part: a step that is under way may still be adding to it
 */
export async function undoDestination(
  acquired: () => Partial<DestinationParts>,
  step: Promise<unknown> | undefined,
): Promise<string | undefined> {
  // The engine's end makes CRIU kill what it has restored, and ends what the step under way waits for.
  await attempt(async () => acquired().engine?.close());
  if (step) await attempt(() => within(STEP_MS, "the step under way", step));
  await attempt(async () => acquired().restore?.stop());
  await attempt(async () => acquired().lock?.dispose());
  acquired().hold?.dispose();
  const logs = await acquired().scratch?.keepLogs();
  await attempt(async () => acquired().scratch?.remove());
  return logs;
}
