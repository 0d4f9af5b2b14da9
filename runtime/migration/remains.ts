/**
 * Finds the processes of a dump or a restore whatever has become of their parents: CRIU and runC may have been
 * killed one by one, and what CRIU had begun to restore waits for it for ever.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { family, identify, type ProcessIdentity } from "./process.js";

/** What has the scratch folder on its command line (runC) or in its environment (CRIU), and its descendants. */
export function usersOfScratch(root: string): ProcessIdentity[] {
  const mentions = (pid: string) =>
    ["cmdline", "environ"].some((file) => read(`/proc/${pid}/${file}`).includes(`${root}/`));
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid && mentions(name))
    .flatMap((name) => {
      const user = identify(Number(name));
      return user ? [user, ...family(user.pid)] : [];
    });
}

/** Descendants of this shim, to which orphans are given, that are in the container's cgroup. */
export function orphansOfContainer(bundle: string, id: string): ProcessIdentity[] {
  const end = cgroupEnd(bundle, id);
  return family(process.pid).filter(
    ({ pid }) =>
      pid !== process.pid &&
      read(`/proc/${pid}/cgroup`)
        .split("\n")
        .some((line) => line.endsWith(end)),
  );
}

/** How the paths of the container's cgroups end, as runC makes them of the container's settings. */
function cgroupEnd(bundle: string, id: string): string {
  const path = cgroupsPath(bundle);
  const [, prefix, name] = path.split(":");
  if (prefix !== undefined && name !== undefined) return `/${prefix}-${name}.scope`;
  return path === "" ? `/${id}` : `/${path.replace(/^\/+|\/+$/g, "")}`;
}

function cgroupsPath(bundle: string): string {
  try {
    const spec = JSON.parse(read(join(bundle, "config.json"))) as { linux?: { cgroupsPath?: unknown } };
    return typeof spec.linux?.cgroupsPath === "string" ? spec.linux.cgroupsPath : "";
  } catch {
    return "";
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
