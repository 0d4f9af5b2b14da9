/** The container's root file system: mounted by the shim as containerd says, unmounted by the shim. */
import { mkdirSync } from "node:fs";
import { mount, unmountAll } from "#addon";
import type { RunCommand } from "../../runtime/runc/command.js";
import { messageOf, ShimError } from "../errors.js";
import { sleep } from "../time.js";
import type { Mount } from "../wire.js";

/** Something may look at a file for a moment, an indexer or a metrics agent. */
const BUSY_MS = 500;
const BUSY_PAUSE_MS = 25;

/** @throws ShimError naming the mount that failed; those before it stay: call `unmountRootfs` */
export async function mountRootfs(mounts: readonly Mount[], target: string, run: RunCommand): Promise<void> {
  if (mounts.length > 0) mkdirSync(target, { recursive: true, mode: 0o711 });
  for (const each of mounts) {
    try {
      await mountOne(each, target, run);
    } catch (cause) {
      const what = `failed to mount rootfs component (${described(each)}): ${messageOf(cause)}`;
      throw new ShimError("UNKNOWN", what, "see the snapshotter's folders", cause);
    }
  }
}

async function mountOne(each: Mount, target: string, run: RunCommand): Promise<void> {
  if (!/^fuse3?\./.test(each.type ?? "")) return mount(each, target);
  // Few have such a file system.
  const { mountFuse } = await import("./rootfs-fuse.js");
  await mountFuse(each, target, run);
}

/**
 * Everything mounted there; no mount is fine. What is in use after a while is only taken out of sight: a snapshotter
 * that wants its device back does better with an unmount that has really ended.
 */
export async function unmountRootfs(target: string): Promise<void> {
  for (const deadline = Date.now() + BUSY_MS; Date.now() < deadline; await sleep(BUSY_PAUSE_MS)) {
    if (unmountAll(target, { lazy: false })) return;
  }
  unmountAll(target);
}

/** Enough to find the snapshot; the list of an image's layers may have pages. */
function described({ type, source, target, options }: Mount): string {
  const all = [type, source, target, options?.join(",")].filter(Boolean).join(" ");
  return all.length > MAX_DESCRIPTION ? `${all.slice(0, MAX_DESCRIPTION)}…` : all;
}

const MAX_DESCRIPTION = 500;
