/**
 * The agent's own durable notes, one file for each migration: enough to clean up and to answer after a restart. Who may run
 * the container is not decided here but by the shims' handover records.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../durable.js";
import { hostName } from "./config.js";
import { AgentError } from "./errors.js";
import { identifier, migrationId, strategyName } from "./manifest.js";

const entry = z.object({
  version: z.literal(1),
  migration: migrationId,
  role: z.enum(["source", "destination"]),
  container: identifier,
  namespace: identifier,
  strategy: strategyName,
  peer: z.object({ name: hostName, host: z.string().min(1).max(253), port: z.int().min(1).max(65535) }),
  /** Unix time, ms. */
  startedAt: z.number(),
  endedAt: z.number().optional(),
  /** The container's network namespace; empty: none to care for. */
  netns: z.string().max(4096),
  /** What was made here and goes away when the migration fails. */
  made: z.object({
    netns: z.boolean(),
    snapshot: z.object({ snapshotter: identifier, key: z.string().max(1024) }).optional(),
    container: z.boolean(),
  }),
  /** Of the source: what is stopped there is its client's to delete. */
  keepStopped: z.boolean().optional(),
  phase: z.string().max(64),
  /** Absent while it is under way. */
  outcome: z.enum(["moved", "failed"]).optional(),
  reason: z.string().max(8192),
});
export type JournalEntry = z.infer<typeof entry>;

const MAX_BYTES = 64 * 1024;
/** Ended migrations that are kept for `pclive status`. */
const KEEP_ENDED = 50;

export class Journal {
  private readonly folder: string;
  /** Writes of one process happen in order: two of the same file must not overtake each other. */
  private writing: Promise<unknown> = Promise.resolve();

  constructor(stateDir: string) {
    this.folder = join(stateDir, "journal");
  }

  /** @throws AgentError INTERNAL when it cannot be made durable */
  write(value: JournalEntry): Promise<void> {
    const text = `${JSON.stringify(entry.parse({ ...value, reason: value.reason.slice(0, 8192) }), null, 2)}\n`;
    const done = this.writing.then(() => writeDurably(this.path(value.migration), text));
    this.writing = done.catch(() => undefined);
    return done.catch((error: Error) => {
      throw new AgentError("INTERNAL", `the journal cannot be written: ${error.message}`, {
        remedy: `check the disk below ${this.folder}`,
        cause: error,
      });
    });
  }

  /** @returns undefined when there is none, or what is there is no entry */
  async read(migration: string): Promise<JournalEntry | undefined> {
    if (!migrationId.safeParse(migration).success) return undefined;
    const text = await readFile(this.path(migration), "utf8").catch(() => "");
    if (text === "" || text.length > MAX_BYTES) return undefined;
    try {
      return entry.safeParse(JSON.parse(text)).data;
    } catch {
      return undefined;
    }
  }

  /** All entries, the newest first. */
  async list(): Promise<JournalEntry[]> {
    const names = await readdir(this.folder).catch(() => []);
    const entries: JournalEntry[] = [];
    for (const name of names) {
      const one = await this.read(name.replace(/\.json$/, ""));
      if (one !== undefined) entries.push(one);
    }
    return entries.sort((a, b) => b.startedAt - a.startedAt);
  }

  /** Forgets all but the newest of the ended ones. */
  async prune(): Promise<void> {
    const ended = (await this.list()).filter((one) => one.outcome !== undefined);
    for (const one of ended.slice(KEEP_ENDED)) await rm(this.path(one.migration), { force: true });
  }

  private path(migration: string): string {
    return join(this.folder, `${migration}.json`);
  }
}
