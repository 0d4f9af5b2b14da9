/**
 * The folder that an image is published in: complete or not there, whoever dies when. The image is made in a folder beside the
 * target, which is then renamed onto it. Where that cannot be (the target is a mount point, or holds something already)
 * it is made in a folder inside, and its files are moved out of there, the one last without which CRIU takes nothing.
 */
import type { Stats } from "node:fs";
import { chmod, chown, mkdir, readdir, realpath, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { syncFolder } from "../durable.js";
import { MigrationError } from "../migration/error.js";
import { mountsBelow } from "../migration/scratch.js";
import { unfinishedBeside, unfinishedInside } from "./unfinished-name.js";

/** CRIU refuses a folder of images without it. */
const LAST = "inventory.img";

type Way =
  /**
   * `made`: the outermost of the folders that had to be made for the target's sake; `replaced`: the empty folder that was
   * there, whose owner and mode the image's folder gets.
   */
  | { readonly kind: "rename"; readonly made: string | undefined; readonly replaced: Stats | undefined }
  | { readonly kind: "move-in" };

export class ImageTarget {
  /** Names moved into the target so far. */
  #moved: string[] = [];
  #state: "open" | "published" | "closed" = "open";

  private constructor(
    /** Where the image will be; absolute. */
    readonly path: string,
    /** Where it is made: an empty folder that only root can enter. */
    readonly temporary: string,
    private readonly way: Way,
  ) {}

  /**
   * Makes the temporary folder.
   * @throws MigrationError `target` when nothing can be written there; nothing is left then
   */
  static async prepare(wanted: string): Promise<ImageTarget> {
    try {
      const { path, temporary, way } = await makeTemporary(resolve(wanted));
      return new ImageTarget(path, temporary, way);
    } catch (error) {
      throw targetError(`the image cannot be written to ${wanted}`, error);
    }
  }

  /** @throws MigrationError `target`; what was published before is taken back then */
  async publish(): Promise<void> {
    try {
      await syncFolder(this.temporary);
      if (this.way.kind === "rename") await this.#rename(this.way.replaced);
      else await this.#moveIn();
      this.#state = "published";
    } catch (error) {
      await this.#withdraw();
      throw targetError(`the image cannot be put in place at ${this.path}`, error);
    }
  }

  /** Whatever there is of the image is gone afterwards, published or not. Idempotent, never rejects. */
  async discard(): Promise<void> {
    if (this.#state === "closed") return;
    if (this.#state === "published") await this.#withdraw();
    this.#state = "closed";
    await rm(this.temporary, { recursive: true, force: true }).catch(() => undefined);
    if (this.way.kind === "rename" && this.way.made !== undefined)
      await removeEmpty(this.path, this.way.made);
  }

  async #rename(replaced: Stats | undefined): Promise<void> {
    if (replaced) {
      await chown(this.temporary, replaced.uid, replaced.gid);
      await chmod(this.temporary, replaced.mode & 0o7777);
    }
    await rename(this.temporary, this.path);
    this.#state = "published";
    await syncFolder(dirname(this.path));
  }

  async #moveIn(): Promise<void> {
    const names = (await readdir(this.temporary)).filter((name) => name !== LAST);
    // From here on an older image in this folder is none any more.
    await rm(join(this.path, LAST), { force: true });
    for (const name of [...names, LAST]) {
      await rename(join(this.temporary, name), join(this.path, name));
      this.#moved.push(name);
    }
    await syncFolder(this.path);
    await rmdir(this.temporary);
  }

  async #withdraw(): Promise<void> {
    if (this.way.kind === "move-in") {
      for (const name of this.#moved.reverse())
        await rm(join(this.path, name), { recursive: true, force: true }).catch(() => undefined);
      this.#moved = [];
      return;
    }
    if (this.#state !== "published") return;
    await rename(this.path, this.temporary).catch(() => undefined);
    const { replaced } = this.way;
    if (replaced) await mkdir(this.path, { mode: replaced.mode & 0o7777 }).catch(() => undefined);
  }
}

interface Place {
  readonly path: string;
  readonly temporary: string;
  readonly way: Way;
}

async function makeTemporary(wanted: string): Promise<Place> {
  const place = await choosePlace(wanted);
  try {
    await mkdir(place.temporary, { mode: 0o700 });
  } catch (error) {
    if (place.way.kind === "rename" && place.way.made !== undefined)
      await removeEmpty(place.path, place.way.made);
    throw error;
  }
  return place;
}

async function choosePlace(wanted: string): Promise<Place> {
  const there = await stat(wanted).catch(absent);
  if (!there) {
    const made = await makeFolders(dirname(wanted));
    return {
      path: wanted,
      temporary: unfinishedBeside(wanted),
      way: { kind: "rename", made, replaced: undefined },
    };
  }
  if (!there.isDirectory()) throw Object.assign(new Error("it is no folder"), { code: "ENOTDIR" });
  const path = await realpath(wanted);
  const empty = (await readdir(path)).length === 0;
  if (!empty || isMountPoint(path))
    return { path, temporary: unfinishedInside(path), way: { kind: "move-in" } };
  return {
    path,
    temporary: unfinishedBeside(path),
    way: { kind: "rename", made: undefined, replaced: there },
  };
}

/**
 * Not Node's own, which tries for ever where mkdir says that there is no such folder, as /proc does.
 * @returns the outermost folder made
 */
async function makeFolders(path: string): Promise<string | undefined> {
  if (await stat(path).catch(absent)) return undefined;
  const outermost = await makeFolders(dirname(path));
  await mkdir(path, { mode: 0o700 });
  return outermost ?? path;
}

function isMountPoint(path: string): boolean {
  return path === "/" || mountsBelow(path).includes(path);
}

/** Removes folders from the target's parent up to `outermost`, as long as nobody has put anything in. */
async function removeEmpty(path: string, outermost: string): Promise<void> {
  for (let folder = dirname(path); folder.startsWith(outermost); folder = dirname(folder)) {
    const gone = await rmdir(folder).then(
      () => true,
      () => false,
    );
    if (!gone) return;
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
  return undefined;
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOSPC: "make room there, or name another folder",
  EDQUOT: "make room there, or name another folder",
  EROFS: "name a folder on a file system that can be written",
  ENOTDIR: "name a folder",
  EACCES: "name a folder that root may write to",
  EPERM: "name a folder that root may write to",
};

function targetError(what: string, error: unknown): MigrationError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  return new MigrationError("target", `${what}: ${message}`, {
    remedy: REMEDIES[code] ?? "name another folder",
    cause: error,
  });
}
