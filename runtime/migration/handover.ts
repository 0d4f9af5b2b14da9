/**
 * The handover records: what each shim knows for certain about a migration, on disk.
 *
 *   source        moving ──▶ committed ──▶ done
 *                    │            └──────▶ returned      (the peer proved that it refused)
 *                    └──▶ rolled-back
 *   destination   preparing ──▶ held ──▶ running
 *                    └───────────┴─────▶ refused
 *
 * A record is written before the act that it announces: `committed` before the answer that lets the
 * destination go on, `running` before the tasks are released, `refused` before they are forgotten.
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../durable.js";
import { MigrationError } from "./error.js";
import { isAlive, type ProcessIdentity } from "./process.js";

export const HANDOVER_DIR = "/var/lib/pclive/handover";

/** Ended records are kept this long, so that a peer that was away can still ask. */
const KEEP_ENDED_MS = 7 * 24 * 3600 * 1000;
const MAX_RECORD_BYTES = 64 * 1024;

export type SourceState = "moving" | "committed" | "done" | "rolled-back" | "returned";
export type DestinationState = "preparing" | "held" | "running" | "refused";
export type HandoverState = SourceState | DestinationState;
export type Role = "source" | "destination";

const NEXT: Readonly<Record<HandoverState, readonly HandoverState[]>> = {
  moving: ["committed", "rolled-back"],
  committed: ["done", "returned"],
  done: [],
  "rolled-back": [],
  returned: [],
  preparing: ["held", "refused"],
  held: ["running", "refused"],
  running: [],
  refused: [],
};

const common = {
  version: z.literal(1),
  migration: z.string().regex(/^[0-9a-f]{32}$/),
  container: z.string().min(1).max(1024),
  namespace: z.string().min(1).max(1024),
  bundle: z.string().max(4096),
  reason: z.string().max(8192),
  /** The shim that owns the migration: once it is gone its container is gone, too. */
  owner: z.object({ pid: z.int().positive(), startTime: z.string().regex(/^[0-9]+$/) }),
  /** Unix time in milliseconds. */
  updatedAt: z.number(),
};

const recordSchema = z.discriminatedUnion("role", [
  z.object({
    ...common,
    role: z.literal("source"),
    state: z.enum(["moving", "committed", "done", "rolled-back", "returned"]),
  }),
  z.object({
    ...common,
    role: z.literal("destination"),
    state: z.enum(["preparing", "held", "running", "refused"]),
  }),
]);

export type HandoverRecord = z.infer<typeof recordSchema>;

export interface NewRecord {
  readonly migration: string;
  readonly container: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly role: Role;
  readonly owner: ProcessIdentity;
}

/** Whether the migration is over and the record only kept for questions. */
export function isEnded(state: HandoverState): boolean {
  return NEXT[state].length === 0;
}

export function mayBecome(from: HandoverState, to: HandoverState): boolean {
  return NEXT[from].includes(to);
}

export class HandoverStore {
  /** Steps of one process follow each other: two that read the same state must not both be taken. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(private readonly dir: string = HANDOVER_DIR) {}

  /**
   * Begins a record in its first state.
   * @throws MigrationError `wrong-state` when this migration has one already, `record-failed`
   */
  async create(fresh: NewRecord): Promise<HandoverRecord> {
    if (await this.read(fresh.migration)) {
      throw new MigrationError("wrong-state", `migration ${fresh.migration} has a handover record already`, {
        remedy: "begin a migration with a new id",
      });
    }
    await this.prune(Date.now() - KEEP_ENDED_MS);
    const state = fresh.role === "source" ? "moving" : "preparing";
    return this.write({ ...fresh, version: 1, state, reason: "", updatedAt: Date.now() });
  }

  /**
   * Makes a step durable: when this resolves, the new state survives a loss of power. Moving to the
   * state it already has is no step and does nothing.
   * @throws MigrationError `wrong-state` when the step is not one of the diagram, `record-failed`
   */
  advance(migration: string, to: HandoverState, reason = ""): Promise<HandoverRecord> {
    const step = this.#last.then(() => this.#advance(migration, to, reason));
    this.#last = step.catch(() => undefined);
    return step;
  }

  async #advance(migration: string, to: HandoverState, reason: string): Promise<HandoverRecord> {
    const record = await this.read(migration);
    if (!record) throw new MigrationError("record-failed", `migration ${migration} has no handover record`);
    if (record.state === to) return record;
    if (!mayBecome(record.state, to)) {
      throw new MigrationError("wrong-state", `a migration that is ${record.state} cannot become ${to}`);
    }
    return this.write({ ...record, state: to, reason: reason.slice(0, 8192), updatedAt: Date.now() });
  }

  /**
   * @returns undefined when there is none
   * @throws MigrationError `record-failed` when it cannot be read or is not a record
   */
  async read(migration: string): Promise<HandoverRecord | undefined> {
    const path = this.path(migration);
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw failed(path, "cannot be read", error);
    }
    const record = parseRecord(path, text);
    if (record.migration !== migration) throw failed(path, `belongs to migration ${record.migration}`);
    return record;
  }

  /** Every record; what is not one is reported beside them and left alone. For recovery. */
  async list(): Promise<{ records: HandoverRecord[]; broken: MigrationError[] }> {
    const records: HandoverRecord[] = [];
    const broken: MigrationError[] = [];
    for (const name of await this.names()) {
      try {
        const record = await this.read(name.slice(0, -".json".length));
        if (record) records.push(record);
      } catch (error) {
        broken.push(MigrationError.from(error, "record-failed"));
      }
    }
    return { records, broken };
  }

  /**
   * Ends the record of a shim that is gone, for a shim's death ends its container: a source that was
   * moving rolled back, a destination that had not recorded `running` never resumed a task, hence refused.
   * A committed source stays as it is: only the peer's answer ends it. Returns what holds now.
   */
  async settleOrphan(record: HandoverRecord): Promise<HandoverRecord> {
    if (isEnded(record.state) || record.state === "committed" || isAlive(record.owner)) return record;
    const to = record.role === "source" ? "rolled-back" : "refused";
    return this.advance(record.migration, to, "the shim ended");
  }

  /** Removes records that ended before `before` (unix time, ms). */
  async prune(before: number): Promise<void> {
    const { records } = await this.list();
    for (const record of records) {
      if (isEnded(record.state) && record.updatedAt < before)
        await rm(this.path(record.migration), { force: true });
    }
  }

  private async names(): Promise<string[]> {
    try {
      return (await readdir(this.dir)).filter((name) => /^[0-9a-f]{32}\.json$/.test(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw failed(this.dir, "cannot be listed", error);
    }
  }

  private async write(record: HandoverRecord | (NewRecord & { state: string })): Promise<HandoverRecord> {
    const checked = recordSchema.safeParse(record);
    if (!checked.success)
      throw failed(this.dir, `would get a wrong record: ${z.prettifyError(checked.error)}`);
    const path = this.path(checked.data.migration);
    try {
      await writeDurably(path, `${JSON.stringify(checked.data, null, 2)}\n`);
    } catch (error) {
      throw failed(path, "cannot be written", error);
    }
    return checked.data;
  }

  private path(migration: string): string {
    if (!/^[0-9a-f]{32}$/.test(migration)) {
      throw new MigrationError("protocol", "a migration id is 32 lower-case hex digits");
    }
    return join(this.dir, `${migration}.json`);
  }
}

function parseRecord(path: string, text: string): HandoverRecord {
  if (text.length > MAX_RECORD_BYTES) throw failed(path, "is too long for a handover record");
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw failed(path, "is not JSON", error);
  }
  const result = recordSchema.safeParse(json);
  if (!result.success) throw failed(path, `is not a handover record: ${z.prettifyError(result.error)}`);
  return result.data;
}

function failed(path: string, what: string, cause?: unknown): MigrationError {
  const why = cause instanceof Error ? `: ${cause.message}` : "";
  return new MigrationError("record-failed", `${path} ${what}${why}`, {
    remedy: "the record says which host may run the container: look at the peer's before you remove this one",
    ...(cause === undefined ? {} : { cause }),
  });
}
