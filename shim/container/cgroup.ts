/** Where a process's cgroups are in the file system. */
import { readFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { CpuCgroup } from "../../runtime/migration/types.js";
import { notFound } from "../errors.js";
import type { CgroupPaths } from "./migratable.js";

interface CgroupMount {
  readonly path: string;
  /** The folder of the hierarchy that is mounted there. */
  readonly root: string;
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
}

const SYSTEM_MOUNT = "/sys/fs/cgroup";

/** A container with more cgroups below its own than this is not looked through. */
const MAX_CGROUPS = 4096;

/** @throws ShimError NOT_FOUND when the process is gone or has no freezer */
export async function findCgroup(pid: number): Promise<CgroupPaths> {
  const all = await cgroupFolders(pid);
  const v1 = all.controllers.get("freezer");
  const folder = v1 ?? all.unified;
  if (folder === undefined) throw notFound(`process ${pid} has no cgroup with a freezer`);
  const version = v1 ? 1 : 2;
  return { version, freezerPath: folder, procsPaths: await procsBelow(folder), cpu: cpuOf(all) };
}

function cpuOf({ controllers, unified, version }: CgroupFolders): CpuCgroup | undefined {
  const folder = controllers.get("cpu");
  if (folder !== undefined) return { version: 1, folder, usageFolder: controllers.get("cpuacct") ?? folder };
  return unified !== undefined && version === 2 ? { version: 2, folder: unified } : undefined;
}

export interface CgroupFolders {
  /** v1: controller → folder. */
  readonly controllers: ReadonlyMap<string, string>;
  /** v2, also in a hybrid layout. */
  readonly unified: string | undefined;
  /** Which version accounts for the container. */
  readonly version: 1 | 2;
}

/** @throws ShimError NOT_FOUND when the process is gone */
export async function cgroupFolders(pid: number): Promise<CgroupFolders> {
  const membership = membershipOf(pid);
  if (membership === "") throw notFound(`process ${pid} is gone`);
  return foldersOf(membership, parseMounts(readFileSync("/proc/self/mountinfo", "utf8")));
}

function membershipOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cgroup`, "utf8");
  } catch {
    return "";
  }
}

/** @param membership the text of /proc/PID/cgroup: lines of "id:controllers:path" */
export function foldersOf(membership: string, mounts: readonly CgroupMount[]): CgroupFolders {
  const controllers = new Map<string, string>();
  let unified: string | undefined;
  for (const line of membership.split("\n")) {
    const [, hierarchy, names = "", path = ""] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (hierarchy === undefined) continue;
    if (hierarchy === "0") {
      unified = under(
        mounts.find((mount) => mount.version === 2),
        path,
      );
      continue;
    }
    for (const name of names.split(",")) {
      const folder = under(
        mounts.find((mount) => mount.version === 1 && mount.controllers.includes(name)),
        path,
      );
      if (folder !== undefined) controllers.set(name, folder);
    }
  }
  return { controllers, unified, version: versionOf(mounts, controllers.size > 0) };
}

/** A controller may be mounted on its own somewhere: what counts is which version the system uses. */
function versionOf(mounts: readonly CgroupMount[], hasControllers: boolean): 1 | 2 {
  const system = mounts.find((mount) => mount.path === SYSTEM_MOUNT);
  return system?.version === 2 || !hasControllers ? 2 : 1;
}

/** Those of the system come first: CRIU mounts the hierarchies somewhere else as well, for a moment. */
export function parseMounts(mountinfo: string): CgroupMount[] {
  // A later mount hides an earlier one at the same place.
  const visible = new Map(
    mountinfo.split("\n").flatMap((line) => mountOf(line).map((one) => [one.path, one])),
  );
  return [...visible.values()].sort((a, b) => Number(isOfSystem(b)) - Number(isOfSystem(a)));
}

function isOfSystem({ path }: CgroupMount): boolean {
  return path === SYSTEM_MOUNT || path.startsWith(`${SYSTEM_MOUNT}/`);
}

function mountOf(line: string): CgroupMount[] {
  const [left = "", right] = line.split(" - ");
  const [, , , root = "/", path = ""] = left.split(" ");
  const [type, , options = ""] = right?.split(" ") ?? [];
  if (type !== "cgroup" && type !== "cgroup2") return [];
  return [{ path, root, version: type === "cgroup" ? 1 : 2, controllers: options.split(",") }];
}

function under(mount: CgroupMount | undefined, path: string): string | undefined {
  if (!mount) return undefined;
  const { root } = mount;
  const inside =
    root !== "/" && (path === root || path.startsWith(`${root}/`)) ? path.slice(root.length) : path;
  return join(mount.path, inside);
}

async function procsBelow(folder: string): Promise<string[]> {
  const found: string[] = [];
  const todo = [folder];
  for (let next = todo.pop(); next !== undefined && found.length < MAX_CGROUPS; next = todo.pop()) {
    const entries = await readdir(next, { withFileTypes: true }).catch(() => []);
    if (entries.length > 0) found.push(join(next, "cgroup.procs"));
    for (const entry of entries) if (entry.isDirectory()) todo.push(join(next, entry.name));
  }
  return found;
}
