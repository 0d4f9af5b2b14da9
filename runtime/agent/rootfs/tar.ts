/**
 * The system's tar, on a bind mount that follows no symbolic link: the container may swap a folder for a link while tar reads,
 * and must not lead it out of its root.
 */
import { type ChildProcess, spawn } from "node:child_process";

/** In a mount namespace of its own: `$1` bound over itself without following links, then tar with the rest. */
const ISOLATED =
  'root=$1; shift; mount --bind "$root" "$root" && mount -o remount,bind,nosymfollow "$root" && cd "$root" && exec tar "$@"';
export function tar(root: string, args: readonly string[]): ChildProcess {
  return spawn(
    "unshare",
    ["--mount", "--propagation", "private", "sh", "-c", ISOLATED, "sh", root, ...args],
    {
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
}

/** Resolves with tar's end. */
export function ended(child: ChildProcess): Promise<{ status: number | null; stderr: string }> {
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ status: null, stderr: error.message }));
    child.once("close", (status) => resolve({ status, stderr }));
  });
}
