/** What has changed in a running container's writable layer since the last look. */
import { readFileSync } from "node:fs";
import { compare, type Difference, isEmpty, type Layer, type Listing, scan } from "./scan.js";

export class LayerChanges {
  /** What the other side has. */
  private seen: Listing = new Map();
  private looked: Listing = new Map();

  constructor(readonly layer: Layer) {}

  /**
   * @param pids the container's processes
   * @returns undefined when nothing has changed
   */
  async next(pids: readonly number[]): Promise<Difference | undefined> {
    const now = await scan(this.layer.upper);
    this.looked = now;
    // The upper directory of a container that has written nothing is there nonetheless: not worth a message.
    if (this.seen.size === 0 && now.size === 1) return undefined;
    const difference = await compare(this.layer, this.seen, now, writtenThroughMemory(pids));
    return isEmpty(difference) ? undefined : difference;
  }

  /** The other side has what was found last. */
  accept(): void {
    this.seen = this.looked;
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
