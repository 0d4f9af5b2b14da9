/** Brings the container's writable layer to the destination, while it changes. */
import { pack } from "../rootfs/archive.js";
import { LayerChanges } from "../rootfs/changes.js";
import type { Layer } from "../rootfs/scan.js";
import type { PeerStream } from "./stream.js";

const APPLY_TIMEOUT_MS = 300_000;

export class RootfsSync {
  private readonly changes: LayerChanges;

  constructor(
    private readonly layer: Layer,
    private readonly stream: PeerStream,
  ) {
    this.changes = new LayerChanges(layer);
  }

  /**
   * Sends what changed since the last time and waits until it is in place there. Returns the bytes of the
   * changed files; when nothing changed nothing is sent.
   * @param pids the container's processes
   */
  async sync(signal: AbortSignal, pids: readonly number[]): Promise<number> {
    const difference = await this.changes.next(pids);
    // What fails from here on ends the migration.
    this.changes.accept();
    if (difference === undefined) return 0;
    for await (const data of pack(this.layer.merged, difference)) {
      signal.throwIfAborted();
      await this.stream.send({ rootfsDiff: { data } });
    }
    await this.stream.send({ rootfsDiff: { end: true } });
    await this.stream.expect("rootfsApplied", APPLY_TIMEOUT_MS, signal);
    return difference.bytes;
  }
}
