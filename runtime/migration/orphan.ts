/**
 * What a shim that was killed leaves of a migration. Its engine ends with it, and CRIU with the engine, but each of
 * them may have been killed as well; and nobody is left to take the scratch folder away.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { MigrationError } from "./error.js";
import type { HandoverRecord, HandoverStore } from "./handover.js";
import { isAlive, killAll } from "./process.js";
import { usersOfScratch } from "./remains.js";
import { PLACES, removeScratch } from "./scratch.js";
import { undoThrottle } from "./throttle.js";

const KILL_MS = 5_000;
const MIGRATION = /^[0-9a-f]{32}$/;

/**
 * Removes the processes and the folder of one migration, if its shim is gone. A shim that lives cleans up
 * by itself; without a record nobody knows. Idempotent.
 * @returns what the record says now; undefined when there is none
 * @throws MigrationError `internal` when something stays
 */
export async function clearOrphan(
  migration: string,
  records: HandoverStore,
  runDir = PLACES.runDir,
): Promise<HandoverRecord | undefined> {
  if (!MIGRATION.test(migration)) throw new MigrationError("invalid", `"${migration}" is no migration's id`);
  const found = await records.read(migration);
  if (!found || isAlive(found.owner)) return found;
  // First the record: nobody may resume what is about to be killed.
  const record = await records.settleOrphan(found);
  const root = join(runDir, migration);
  if (!existsSync(root)) return record;
  if (!(await killAll(usersOfScratch(root), KILL_MS))) {
    throw new MigrationError("internal", `processes that use ${root} do not die`, {
      remedy: "look at them: grep -l PCLIVE_SOCKET /proc/*/environ",
    });
  }
  await undoThrottle(root);
  await removeScratch(root);
  return record;
}

/** Migrations that have a scratch folder on this host. */
export function scratchFolders(runDir = PLACES.runDir): string[] {
  try {
    return readdirSync(runDir).filter((name) => MIGRATION.test(name));
  } catch {
    return [];
  }
}
