/** Puts the server into the cgroup that the runtime options name for it. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseMounts } from "../container/cgroup.js";

/**
 * @param path of the cgroup in every hierarchy; empty: stay where containerd is
 * @throws Error when the cgroup cannot be made or joined: the user asked for that limit
 */
export function joinShimCgroup(path: string): void {
  if (path === "") return;
  const mounts = parseMounts(readFileSync("/proc/self/mountinfo", "utf8"));
  const named = mounts.filter(
    (mount) => mount.version === 1 && !mount.controllers.some((name) => name.startsWith("name=")),
  );
  const targets = named.length > 0 ? named : mounts.filter((mount) => mount.version === 2);
  for (const target of targets) {
    const folder = join(target.path, path);
    if (!folder.startsWith(`${target.path}/`)) throw new Error(`shim cgroup ${path} leaves the hierarchy`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "cgroup.procs"), String(process.pid));
  }
}
