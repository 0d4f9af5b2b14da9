/** Notices that a container ran out of memory. */
import { readFileSync, watch } from "node:fs";
import { join } from "node:path";
import { type OomWatch, watchOom } from "#addon";
import type { CgroupFolders } from "./cgroup.js";
import { keyedIn } from "./cgroup-files.js";

export type { OomWatch } from "#addon";

/**
 * Calls back at each out-of-memory event of the container's cgroup.
 * @returns undefined for a cgroup without memory accounting
 */
export function watchMemory(folders: CgroupFolders, callback: () => void): OomWatch | undefined {
  if (folders.version === 1) {
    const folder = folders.controllers.get("memory");
    return folder === undefined ? undefined : watchOom(folder, callback);
  }
  return folders.unified === undefined ? undefined : watchEvents(folders.unified, callback);
}

/**
 * Version 2: the kernel changes the file whenever one of its counters grows. All watches of a process share one
 * inotify descriptor. The cgroup may have been there before the container: what happened then is not told.
 */
function watchEvents(folder: string, callback: () => void): OomWatch {
  const path = join(folder, "memory.events");
  let reported = killsIn(path) ?? 0;
  const watcher = watch(path, { persistent: false });
  const stop = () => watcher.close();
  const check = () => {
    const kills = killsIn(path);
    // The file goes with the cgroup.
    if (kills === undefined) return stop();
    if (kills <= reported) return;
    reported = kills;
    callback();
  };
  watcher.on("change", check);
  watcher.on("error", stop);
  return { check, stop };
}

/** Read at once: two changes must not be counted by turns. The kernel answers from memory. */
function killsIn(path: string): number | undefined {
  try {
    return keyedIn(readFileSync(path, "utf8")).get("oom_kill") ?? 0;
  } catch {
    return undefined;
  }
}
