/** Brings the container's writable layer to the destination, while it changes. */
import { readFileSync } from "node:fs";
import { pack } from "../rootfs/archive.js";
import { compare, isEmpty, type Layer, type Listing, scan } from "../rootfs/scan.js";
import type { PeerStream } from "./stream.js";

const APPLY_TIMEOUT_MS = 300_000;

export class RootfsSync {
  private sent: Listing = new Map();

  constructor(
    private readonly layer: Layer,
    private readonly stream: PeerStream,
  ) {}

  /**
   * Sends what changed since the last time and waits until it is in place there. Returns the bytes of the
   * changed files; when nothing changed nothing is sent.
   * @param pids the container's processes
   */
  async sync(signal: AbortSignal, pids: readonly number[]): Promise<number> {
    const now = await scan(this.layer.upper);
    const first = this.sent.size === 0;
    // The upper directory of a container that has written nothing is there nonetheless: not worth a message.
    if (first && now.size === 1) {
      this.sent = now;
      return 0;
    }
    const difference = await compare(this.layer, this.sent, now, writtenThroughMemory(pids));
    this.sent = now;
    if (isEmpty(difference)) return 0;
    for await (const data of pack(this.layer.merged, difference)) {
      signal.throwIfAborted();
      await this.stream.send({ rootfsDiff: { data } });
    }
    await this.stream.send({ rootfsDiff: { end: true } });
    await this.stream.expect("rootfsApplied", APPLY_TIMEOUT_MS, signal);
    return difference.bytes;
  }
}

/** Files that processes have mapped shared and writable: a page that is dirty already is written without a new time stamp. */
function writtenThroughMemory(pids: readonly number[]): Set<string> {
  const paths = new Set<string>();
  for (const pid of pids) {
    let maps: string;
    try {
      maps = readFileSync(`/proc/${pid}/maps`, "utf8");
    } catch {
      continue; // ended meanwhile
    }
    for (const [, path] of maps.matchAll(/^\S+ .w.s \S+ \S+ \d+ +\/(?!dev\/|memfd:|SYSV)(.+)$/gm)) {
      if (path !== undefined) paths.add(path);
    }
  }
  return paths;
}
