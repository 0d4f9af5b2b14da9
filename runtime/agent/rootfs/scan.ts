/**
 * What a container has written, found in its overlay's upper directory, and what of it is new since the last look.
 *
 * Contents are read from the merged view, so that nothing of overlayfs' own bookkeeping travels; the upper directory only
 * tells where to look. A directory may hide entries of the layers below, by whiteouts or by being opaque: both
 * show in that a name of a lower layer is missing in the merged view.
 */
import type { BigIntStats } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../errors.js";

export interface Entry {
  readonly kind: "file" | "folder" | "other";
  /** Changes with every change: inode, size, mtime, ctime, mode, owner. */
  readonly stamp: string;
  readonly inode: bigint;
  /** bytes; 0 for what is no file */
  readonly size: number;
  /** Changed so recently that a further change might leave the same stamp. */
  readonly fresh: boolean;
}

export type Listing = ReadonlyMap<string, Entry>;

export interface Layer {
  readonly upper: string;
  readonly lowers: readonly string[];
  /** The mounted root file system. */
  readonly merged: string;
}

/** The clock of file times ticks every 4 to 10 ms. */
const TICK_MS = 50;
const AT_A_TIME = 256;
const MAX_ENTRIES = 2_000_000;

/** Lists the upper directory, which is itself the entry "". Entries that vanish meanwhile are left out: the next listing sees to that. */
export async function scan(upper: string): Promise<Listing> {
  const entries = new Map<string, Entry>([["", toEntry(await lstat(upper, { bigint: true }))]]);
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const names = await readdir(join(upper, folder)).catch(gone<string[]>([]));
    for await (const [name, stats] of statsOf(join(upper, folder), names)) {
      if (stats === undefined || isWhiteout(stats) || stats.isSocket()) continue;
      const path = folder === "" ? name : `${folder}/${name}`;
      entries.set(path, toEntry(stats));
      if (entries.size > MAX_ENTRIES) {
        throw new AgentError("ROOTFS", `the writable layer has more than ${MAX_ENTRIES} files`, {
          remedy: "keep such data on a volume that both hosts mount",
        });
      }
      if (stats.isDirectory()) folders.push(path);
    }
  }
  return entries;
}

/** Many at a time: one after the other each waits for a thread of its own. */
async function* statsOf(
  folder: string,
  names: readonly string[],
): AsyncGenerator<[name: string, stats: BigIntStats | undefined]> {
  for (let from = 0; from < names.length; from += AT_A_TIME) {
    const some = names.slice(from, from + AT_A_TIME);
    yield* await Promise.all(
      some.map(async (name): Promise<[string, BigIntStats | undefined]> => {
        return [name, await lstat(join(folder, name), { bigint: true }).catch(gone(undefined))];
      }),
    );
  }
}

function toEntry(stats: BigIntStats): Entry {
  const { ino, size, mtimeNs, ctimeNs, mode, uid, gid } = stats;
  return {
    kind: stats.isFile() ? "file" : stats.isDirectory() ? "folder" : "other",
    stamp: [ino, size, mtimeNs, ctimeNs, mode, uid, gid].join(":"),
    inode: ino,
    size: stats.isFile() ? Number(size) : 0,
    fresh: Date.now() - Number(ctimeNs / 1_000_000n) < TICK_MS,
  };
}

/** overlayfs marks a deleted name by a character device 0:0. */
function isWhiteout(stats: BigIntStats): boolean {
  return stats.isCharacterDevice() && stats.rdev === 0n;
}

function gone<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return value;
    throw error;
  };
}

export interface Difference {
  /** Paths to be removed first, each with everything below it. */
  readonly removed: readonly string[];
  /** Paths to be made or brought up to date, folders before what is in them. */
  readonly changed: readonly string[];
  /** Those of them that are files the destination has already, with other contents. */
  readonly rewritten: readonly string[];
  /** bytes of the changed files */
  readonly bytes: number;
}

export function isEmpty(difference: Difference): boolean {
  return difference.removed.length === 0 && difference.changed.length === 0;
}

/**
 * @param before what the destination has
 * @param alwaysChanged paths whose time stamps cannot be believed: files that are mapped shared and written through memory
 */
export async function compare(
  layer: Layer,
  before: Listing,
  now: Listing,
  alwaysChanged: ReadonlySet<string> = new Set(),
): Promise<Difference> {
  const removed = new Set([...before.keys()].filter((path) => !now.has(path)));
  const changed: string[] = [];
  let bytes = 0;
  for (const [path, entry] of now) {
    const old = before.get(path);
    // Written into in place, another file would show under all names that the old one has at the destination.
    const replaced = old !== undefined && (old.kind !== entry.kind || old.inode !== entry.inode);
    if (replaced) removed.add(path);
    const same =
      old !== undefined && !replaced && old.stamp === entry.stamp && !old.fresh && !alwaysChanged.has(path);
    if (same && !removedAbove(path, removed)) continue;
    changed.push(path);
    bytes += entry.size;
    if (entry.kind === "folder") for (const hidden of await hiddenIn(layer, path)) removed.add(hidden);
  }
  const stays = (path: string) => !removed.has(path) && !removedAbove(path, removed);
  const rewritten = changed.filter((path) => before.get(path)?.kind === "file" && stays(path));
  return { removed: [...removed].sort(), changed: changed.sort(), rewritten: rewritten.sort(), bytes };
}

/** Whether a folder above is made anew, which takes everything in it along. */
function removedAbove(path: string, removed: ReadonlySet<string>): boolean {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    if (removed.has(path.slice(0, end))) return true;
  }
  return false;
}

/** Names that the layers below have in a folder and the container does not see. */
async function hiddenIn(layer: Layer, folder: string): Promise<string[]> {
  const visible = new Set(await readdir(join(layer.merged, folder)).catch(gone<string[]>([])));
  const hidden = new Set<string>();
  for (const lower of layer.lowers) {
    for (const name of await readdir(join(lower, folder)).catch(gone<string[]>([]))) {
      if (!visible.has(name)) hidden.add(folder === "" ? name : `${folder}/${name}`);
    }
  }
  return [...hidden];
}
