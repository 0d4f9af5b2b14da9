/** The folder below CRIU's work folder where it mounts the cgroups for a restore. Should it be killed, the mounts stay. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { removeScratch } from "../migration/scratch.js";

const PREFIX = ".criu.cgyard.";

/** CRIU must have ended. @throws MigrationError `internal` when one cannot be unmounted */
export async function removeCgroupYards(workPath: string): Promise<void> {
  const names = await readdir(workPath).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(PREFIX)))
    await removeScratch(join(workPath, name));
}
