/** An archive as a file: whole or not there, whoever dies when. */
import { rmSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { syncFolder } from "../durable.js";
import { unfinishedBeside } from "./unfinished-name.js";

export class ArchiveFile {
  readonly #onExit = () => rmSync(this.temporary, { force: true });

  private constructor(
    private readonly path: string,
    private readonly temporary: string,
    private readonly file: FileHandle,
  ) {
    process.once("exit", this.#onExit);
  }

  get descriptor(): number {
    return this.file.fd;
  }

  /** Beside its place; only root can read it. */
  static async create(path: string): Promise<ArchiveFile> {
    const temporary = unfinishedBeside(path);
    return new ArchiveFile(path, temporary, await open(temporary, "wx", 0o600));
  }

  /** On the disk, in place of what was there. @returns its size */
  async publish(): Promise<number> {
    await this.file.sync();
    const { size } = await this.file.stat();
    await rename(this.temporary, this.path);
    await syncFolder(dirname(this.path));
    return size;
  }

  /** Idempotent; what was published stays. */
  async close(): Promise<void> {
    await this.file.close();
    await rm(this.temporary, { force: true });
    process.off("exit", this.#onExit);
  }
}
