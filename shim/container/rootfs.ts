/** The container's root file system: mounted by the shim as containerd says, unmounted by the shim. */
import { mkdirSync } from "node:fs";
import { mount, unmountAll } from "#addon";
import { messageOf, ShimError } from "../errors.js";
import type { Mount } from "../wire.js";

/** @throws ShimError naming the mount that failed; those before it stay: call `unmountRootfs` */
export async function mountRootfs(mounts: readonly Mount[], target: string): Promise<void> {
  if (mounts.length > 0) mkdirSync(target, { recursive: true, mode: 0o711 });
  for (const each of mounts) {
    try {
      mount(each, target);
    } catch (cause) {
      const what = `failed to mount rootfs component (${each.type} ${each.source}): ${messageOf(cause)}`;
      throw new ShimError("UNKNOWN", what, "see the snapshotter's folders", cause);
    }
  }
}

/** Everything mounted there. No mount is fine. */
export async function unmountRootfs(target: string): Promise<void> {
  unmountAll(target);
}
