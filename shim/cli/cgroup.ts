/** Puts the server into the cgroup that the runtime options name for it. */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseMounts } from "../container/cgroup.js";

/**
 * @param path of the cgroup in every hierarchy; empty: stay where containerd is
 * @throws Error when the cgroup cannot be made or joined: the user asked for that limit
 */
export async function joinShimCgroup(path: string, pid: number): Promise<void> {
  if (path === "") return;
  const mounts = parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
  const named = mounts.filter(
    (mount) => mount.version === 1 && !mount.controllers.some((name) => name.startsWith("name=")),
  );
  const targets = named.length > 0 ? named : mounts.filter((mount) => mount.version === 2);
  for (const target of targets) {
    const folder = join(target.path, path);
    if (!folder.startsWith(`${target.path}/`)) throw new Error(`shim cgroup ${path} leaves the hierarchy`);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, "cgroup.procs"), String(pid));
  }
}
