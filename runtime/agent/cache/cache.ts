/**
 * The checkpoints that are kept on this host: one folder for each name, in `cache/`. What its `entry.json` does not name is
 * unfinished, or not needed any more, and goes with the next sweep.
 */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder } from "../../durable.js";
import { formatBytes } from "../../format.js";
import { AgentError } from "../errors.js";
import { freeDisk } from "../system.js";
import { type Entry, filesOf, readEntry, totalOf } from "./entry.js";
import { folderName } from "./name.js";

/** What else lives on that disk must go on. */
const LEFT_FREE = 256 * 1024 * 1024;

export class Cache {
  readonly #root: string;
  /** By whom a name is used: there is one reader or writer at a time. */
  readonly #claims = new Map<string, string>();
  /** Bytes of each image on its way in. */
  readonly #arriving = new Map<string, number>();

  constructor(
    stateDir: string,
    private readonly maxBytes: number,
  ) {
    this.#root = join(stateDir, "cache");
  }

  folderOf(name: string): string {
    return join(this.#root, folderName(name));
  }

  /** Takes away what an earlier run of the agent has left unfinished. Before anybody uses it. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#root).catch(() => [])) {
      const folder = join(this.#root, name);
      const found = await readEntry(folder);
      if (found) await this.tidy(found);
      else await rm(folder, { recursive: true, force: true });
    }
  }

  /** Everything that the entry does not name goes. */
  async tidy(entry: Entry): Promise<void> {
    const folder = this.folderOf(entry.name);
    const wanted = filesOf(entry.parts);
    for (const name of await readdir(folder))
      if (!wanted.includes(name)) await rm(join(folder, name), { recursive: true, force: true });
  }

  /** The newest first. */
  async list(): Promise<Entry[]> {
    const folders = await readdir(this.#root).catch(() => []);
    const entries = await Promise.all(folders.map((name) => readEntry(join(this.#root, name))));
    return entries.filter((one) => one !== undefined).sort((a, b) => time(b) - time(a));
  }

  find(name: string): Promise<Entry | undefined> {
    return readEntry(this.folderOf(name));
  }

  /** @throws AgentError IMAGE_NOT_FOUND */
  async get(name: string): Promise<Entry> {
    const found = await this.find(name);
    if (found) return found;
    throw new AgentError("IMAGE_NOT_FOUND", `there is no image ${name} in this host's cache`, {
      remedy: "list them with pclive images",
    });
  }

  async remove(name: string): Promise<Entry> {
    const entry = await this.get(name);
    const release = this.claim(name, "removed");
    try {
      const folder = this.folderOf(name);
      await rm(join(folder, "entry.json"), { force: true });
      await syncFolder(folder);
      await rm(folder, { recursive: true, force: true });
    } finally {
      release();
    }
    return entry;
  }

  /** @returns the end of it, idempotent @throws AgentError BUSY */
  claim(name: string, what: string): () => void {
    const other = this.#claims.get(name);
    if (other !== undefined) {
      throw new AgentError("BUSY", `the image ${name} is being ${other} on this host`, {
        remedy: "try again when that has ended",
      });
    }
    this.#claims.set(name, what);
    return () => void this.#claims.delete(name);
  }

  /** Makes the folder of a name. */
  async prepare(name: string): Promise<string> {
    const folder = this.folderOf(name);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  get limit(): number {
    return this.maxBytes;
  }

  /**
   * Room for an image on its way in.
   * @returns gives it back @throws AgentError REFUSED
   */
  async reserve(id: string, bytes: number): Promise<() => void> {
    const others = [...this.#arriving].reduce((sum, [other, size]) => sum + (other === id ? 0 : size), 0);
    const taken = totalOf(await this.list()) + others;
    if (taken + bytes > this.maxBytes) {
      throw new AgentError(
        "REFUSED",
        `the cache is full: ${formatBytes(bytes)} are needed, ${formatBytes(taken)} of ${formatBytes(this.maxBytes)} taken`,
        { remedy: "remove images there (pclive images rm), or raise cache.maxBytes" },
      );
    }
    const free = freeDisk(this.#root) - others;
    if (free < bytes + LEFT_FREE) {
      throw new AgentError(
        "REFUSED",
        `the disk of the cache is full: ${formatBytes(bytes + LEFT_FREE)} are needed, ${formatBytes(free)} free`,
        { remedy: "make room there" },
      );
    }
    this.#arriving.set(id, bytes);
    return () => void this.#arriving.delete(id);
  }
}

function time({ parts }: Entry): number {
  return parts.at(-1)?.at ?? 0;
}
