/** The way back: the container runs at the source as if nothing had been. */
import { attempt, until, within } from "./deadline.js";
import { processesOf } from "./freezer.js";
import { tracerOf } from "./process.js";
import type { SourceParts } from "./switchover.js";

/** What is undone; without a freezer whoever froze the container keeps it so. */
export type Undoable = Pick<SourceParts, "engine" | "cgroup" | "scratch" | "lock" | "dump"> & {
  readonly freezer: SourceParts["freezer"] | undefined;
  readonly throttle?: SourceParts["throttle"];
};

const THAW_MS = 10_000;
const RELEASE_MS = 2_000;
const STEP_MS = 15_000;

/**
 * Undoes whatever has been done, in an order that lets the container run as soon as possible; every part is
 * tried whatever became of the others. Returns the folder of the logs that were kept.
 * @param acquired asked anew before each part: a step that is under way may still be adding to it
 * @param step the step under way, if any
 * @param extraLogs logs outside of the scratch folder
 */
export async function undoSource(
  acquired: () => Partial<Undoable>,
  step: Promise<unknown> | undefined,
  extraLogs: readonly string[] = [],
): Promise<string | undefined> {
  // The engine's end ends its tracking, every request under way, and CRIU's wait: the step fails soon.
  await attempt(async () => acquired().engine?.close());
  if (step) await attempt(() => within(STEP_MS, "the step under way", step));
  await attempt(async () => acquired().lock?.unlock());
  await attempt(async () => acquired().throttle?.undo());
  await attempt(async () => acquired().freezer?.thaw(THAW_MS));
  await attempt(async () => acquired().dump?.stop());
  // CRIU found the container frozen, and puts it back to that when it gives up.
  await attempt(async () => acquired().freezer?.thaw(THAW_MS));
  const { cgroup } = acquired();
  if (cgroup) await until(RELEASE_MS, 10, () => processesOf(cgroup).every((pid) => tracerOf(pid) === 0));
  await attempt(async () => acquired().lock?.dispose());
  const logs = await acquired().scratch?.keepLogs(extraLogs);
  await attempt(async () => acquired().scratch?.remove());
  return logs;
}
