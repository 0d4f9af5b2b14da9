/** Brings the container's writable layer to the destination, while it changes. */
import type { Recorder } from "../../trace/recorder.js";
import { LayerChanges } from "../rootfs/changes.js";
import { pack } from "../rootfs/pack.js";
import { PatchMaker } from "../rootfs/patch-maker.js";
import type { Difference, Layer } from "../rootfs/scan.js";
import type { PeerStream } from "./stream.js";

const APPLY_TIMEOUT_MS = 300_000;
const TRACK = "agent: files";

export class RootfsSync {
  private readonly changes: LayerChanges;
  private readonly patches = new PatchMaker();

  constructor(
    private readonly layer: Layer,
    private readonly stream: PeerStream,
    private readonly recorder: Recorder,
  ) {
    this.changes = new LayerChanges(layer);
  }

  /**
   * Sends what changed since the last time and waits until it is in place there; when nothing changed nothing is sent.
   * @param pids the container's processes
   */
  async sync(signal: AbortSignal, pids: readonly number[]): Promise<void> {
    const difference = await this.recorder.during(TRACK, "changed files found", this.changes.next(pids));
    // What fails from here on ends the migration.
    this.changes.accept();
    if (difference === undefined) return;
    await this.recorder.during(TRACK, "changes sent", this.send(difference, signal), (bytes) => ({
      files: difference.changed.length,
      fileBytes: difference.bytes,
      bytes,
    }));
    const applied = this.stream.expect("rootfsApplied", APPLY_TIMEOUT_MS, signal);
    await this.recorder.during(TRACK, "changes put in place", applied);
  }

  /** @returns bytes that were sent */
  private async send(difference: Difference, signal: AbortSignal): Promise<number> {
    let bytes = 0;
    for await (const data of pack(this.layer.merged, difference, this.patches)) {
      signal.throwIfAborted();
      await this.stream.send({ rootfsDiff: { data } });
      bytes += data.length;
    }
    await this.stream.send({ rootfsDiff: { end: true } });
    return bytes;
  }
}
