/** Notices that a container ran out of memory. */
import { watch } from "node:fs";
import { join } from "node:path";
import { watchOom } from "#addon";
import { cgroupFolders } from "./cgroup.js";
import { keyed } from "./cgroup-files.js";

/**
 * Calls back at each out-of-memory event of the cgroup that process `pid` is in.
 * @returns what ends the watch; a cgroup without memory accounting is never heard of
 */
export async function watchMemory(pid: number, callback: () => void): Promise<() => void> {
  const folders = await cgroupFolders(pid);
  const v1 = folders.controllers.get("memory");
  if (v1 !== undefined) return watchOom(v1, callback);
  if (folders.unified === undefined) return () => {};
  return watchEvents(join(folders.unified, "memory.events"), callback);
}

/** Version 2: the kernel changes the file whenever one of its counters grows. */
async function watchEvents(path: string, callback: () => void): Promise<() => void> {
  const kills = async () => (await keyed(path)).get("oom_kill") ?? 0;
  let known = await kills();
  const watcher = watch(path, { persistent: false }, async () => {
    const now = await kills();
    if (now > known) callback();
    known = Math.max(known, now);
  });
  // The file goes with the cgroup.
  watcher.on("error", () => watcher.close());
  return () => watcher.close();
}
