/**
 * Folders for images on their way into a stream or out of one. They are on the disk of the agent's state, not in memory,
 * which the container itself will want. Each has its owner's pid in its name: what a dead one left goes with the next.
 */
import { randomBytes } from "node:crypto";
import { existsSync, rmSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../durable.js";

export const STAGING = "/var/lib/pclive/streams";
const NAME = /^(\d+)-[0-9a-f]{12}$/;

export class Staging {
  readonly #onExit = () => rmSync(this.root, { recursive: true, force: true });

  private constructor(
    private readonly folder: string,
    private readonly root: string,
  ) {
    process.once("exit", this.#onExit);
  }

  /** Of the image; not made yet. */
  get image(): string {
    return join(this.root, "image");
  }

  get engineLog(): string {
    return join(this.root, "engine.log");
  }

  static async create(folder = STAGING): Promise<Staging> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await sweep(folder);
    const root = join(folder, `${process.pid}-${randomBytes(6).toString("hex")}`);
    await mkdir(root, { mode: 0o700 });
    return new Staging(folder, root);
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
    process.off("exit", this.#onExit);
  }

  /** Somebody else reads the image: should we be killed, it stays until the next sweep. */
  lend(): void {
    process.off("exit", this.#onExit);
  }

  /** From now on the image stays, under a name that no sweep takes. @returns its folder */
  async keep(name: string): Promise<string> {
    const kept = join(this.folder, `kept-${name}-${randomBytes(6).toString("hex")}`);
    await rename(this.image, kept);
    await syncFolder(this.folder);
    return kept;
  }
}

async function sweep(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = NAME.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`))
      await rm(join(folder, name), { recursive: true, force: true });
  }
}
