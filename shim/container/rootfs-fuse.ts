/** File systems in user space, which a program mounts: type "fuse3.NAME" or "fuse.NAME". */
import type { CommandEnd, RunCommand } from "../../runtime/runc/command.js";
import type { Mount } from "../wire.js";

const HELPERS: readonly (readonly [prefix: string, binary: string])[] = [
  ["fuse.", "mount.fuse"],
  ["fuse3.", "mount.fuse3"],
];
const HELPER_MS = 30_000;

/** @throws Error with what the program said */
export async function mountFuse(mount: Mount, target: string, run: RunCommand): Promise<void> {
  const [prefix = "", binary = ""] = HELPERS.find(([start]) => mount.type?.startsWith(start)) ?? [];
  const options = (mount.options ?? []).flatMap((option) => ["-o", option]);
  const args = [mount.source ?? "", target, ...options, "-t", (mount.type ?? "").slice(prefix.length)];
  const end = await run(binary, args, { env: process.env, timeoutMs: HELPER_MS });
  if (end.kind !== "exited" || end.status !== 0) throw new Error(`${binary} failed: ${reasonOf(end)}`);
}

function reasonOf(end: CommandEnd): string {
  switch (end.kind) {
    case "exited":
      return end.stderr.trim() || `it ended with status ${end.status}`;
    case "failed":
      return end.error.message;
    default:
      return `it did not end within ${HELPER_MS / 1000} s`;
  }
}
