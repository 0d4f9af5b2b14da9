/** The folder of a protected container's images: one folder for each, and the link `latest` to the newest complete one. */
import { mkdir, readdir, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { unfinishedOf } from "../../checkpoint/unfinished-name.js";
import { syncFolder } from "../../durable.js";
import { imageName, type ProtectedImage } from "./record.js";

/** Without it a folder is no image. */
const LAST = "inventory.img";
/** Only of a live checkpoint, which was on the disk as a whole before the folder got its name. */
const SUMS = "pclive.json";
const LATEST = "latest";
const DIGITS = 6;

export class ImageFolder {
  constructor(readonly path: string) {}

  of(name: string): string {
    return join(this.path, name);
  }

  /** After the newest that is there, whoever has made it. */
  async nextName(): Promise<string> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const numbers = (await readdir(this.path))
      .filter((name) => imageName.safeParse(name).success)
      .map(Number);
    return String(Math.max(0, ...numbers) + 1).padStart(DIGITS, "0");
  }

  /** The newest complete one is found by this name, at any time. */
  async setLatest(name: string): Promise<void> {
    const temporary = this.of(`.${LATEST}.new`);
    await rm(temporary, { force: true });
    await symlink(name, temporary);
    await rename(temporary, this.of(LATEST));
    await syncFolder(this.path);
  }

  /** Nobody takes what is left of it for an image, whenever we die. */
  async remove(name: string): Promise<void> {
    const folder = this.of(imageName.parse(name));
    await rm(join(folder, LAST), { force: true });
    await rm(folder, { recursive: true, force: true });
  }

  /** What is there of an image that was not finished. */
  async discard(name: string): Promise<void> {
    await this.remove(name);
    for (const found of await readdir(this.path).catch(() => []))
      if (unfinishedOf(found) === name) await rm(this.of(found), { recursive: true, force: true });
  }

  /** Of an image that was finished without our noting it. @returns undefined when it was not */
  async describe(name: string): Promise<ProtectedImage | undefined> {
    const folder = this.of(name);
    const [inventory, sums] = await Promise.all(
      [LAST, SUMS].map((file) => stat(join(folder, file)).catch(() => undefined)),
    );
    if (!inventory?.isFile() || !sums?.isFile()) return undefined;
    const parent = basename(await readlink(join(folder, "parent")).catch(() => ""));
    return { name, parent, at: inventory.mtimeMs, bytes: await this.bytes(name), frozenMs: 0, totalMs: 0 };
  }

  async bytes(name: string): Promise<number> {
    const folder = this.of(name);
    const files = (await readdir(folder)).map((file) => stat(join(folder, file)));
    return (await Promise.all(files)).reduce((sum, { size }) => sum + size, 0);
  }
}
