/** Puts the server into the cgroup that the runtime options name for it. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseMounts } from "../container/cgroup.js";

/**
 * @param path of the cgroup in every hierarchy; empty: stay where containerd is
 * @throws Error when the cgroup cannot be made or joined: the user asked for that limit
 */
export function joinShimCgroup(path: string): void {
  if (path === "") return;
  const mounts = parseMounts(readFileSync("/proc/self/mountinfo", "utf8"));
  const first = mounts.filter(({ version }) => version === 1);
  const accounts = first.some(({ controllers }) => !isNamed(controllers));
  for (const target of accounts ? first : mounts.filter(({ version }) => version === 2)) {
    const folder = join(target.path, path);
    if (!folder.startsWith(`${target.path}/`)) throw new Error(`shim cgroup ${path} leaves the hierarchy`);
    // A hierarchy without controllers is somebody's own (systemd's): nothing is made there.
    if (isNamed(target.controllers) && !existsSync(folder)) continue;
    makeGroup(folder, target.controllers.includes("cpuset"));
    writeFileSync(join(folder, "cgroup.procs"), String(process.pid));
  }
}

function isNamed(controllers: readonly string[]): boolean {
  return controllers.some((name) => name.startsWith("name="));
}

/** @param cpuset version 1 makes groups without processors and memory, which nothing can join */
function makeGroup(folder: string, cpuset: boolean): void {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  makeGroup(parent, cpuset);
  mkdirSync(folder);
  if (!cpuset) return;
  for (const file of ["cpuset.cpus", "cpuset.mems"])
    writeFileSync(join(folder, file), readFileSync(join(parent, file)));
}
