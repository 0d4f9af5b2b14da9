/** What the agent notes of a protected container, durably: one file for each, in `protect/NAMESPACE/CONTAINER.json`. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../../durable.js";
import { TRACKERS } from "../../migration/index.js";
import { identifier } from "../manifest.js";

/** Of an image's folder, in which order counts. */
export const imageName = z.string().regex(/^\d{6,12}$/);

/** One image of several that lie beside each other. */
export const imageLink = z.object({
  name: imageName,
  /** Of the image beside it that it needs; empty: it is complete. */
  parent: z.union([imageName, z.literal("")]),
  /** Unix time, ms, at which it was begun: what it holds is a little younger. */
  at: z.number(),
  bytes: z.number(),
});

const image = imageLink.extend({ frozenMs: z.number(), totalMs: z.number() });
export type ProtectedImage = z.infer<typeof image>;

const record = z.object({
  version: z.literal(1),
  namespace: identifier,
  container: identifier,
  /** Folder of the images. */
  to: z.string().startsWith("/").max(4096),
  /** The host that keeps the newest one as a standby. */
  peer: z.string().min(1).max(270).optional(),
  everyMs: z.number().min(1000),
  keep: z.int().min(1),
  asked: z.object({
    direct: z.boolean(),
    tracker: z.enum(TRACKERS),
    tcpEstablished: z.boolean(),
    externalUnixSockets: z.boolean(),
    shellJob: z.boolean(),
    fileLocks: z.boolean(),
  }),
  /** Complete ones that are there, the oldest first. */
  images: z.array(image),
  /** The one that is being written. */
  taking: imageName.optional(),
  /** Of the last one, if it failed. */
  failure: z.object({ at: z.number(), code: z.string(), message: z.string(), remedy: z.string() }).optional(),
  ended: z.object({ at: z.number(), reason: z.string() }).optional(),
});
export type ProtectRecord = z.infer<typeof record>;

export class ProtectRecords {
  private readonly folder: string;

  constructor(stateDir: string) {
    this.folder = join(stateDir, "protect");
  }

  write(value: ProtectRecord): Promise<void> {
    return writeDurably(this.path(value), `${JSON.stringify(record.parse(value), null, 2)}\n`);
  }

  remove(value: Pick<ProtectRecord, "namespace" | "container">): Promise<void> {
    return rm(this.path(value), { force: true });
  }

  /** All of them; a file that is none is passed over. */
  async list(): Promise<ProtectRecord[]> {
    const found: ProtectRecord[] = [];
    for (const namespace of await readdir(this.folder).catch(() => []))
      for (const name of await readdir(join(this.folder, namespace)).catch(() => [])) {
        const one = name.endsWith(".json") && parse(await read(join(this.folder, namespace, name)));
        if (one) found.push(one);
      }
    return found;
  }

  private path({ namespace, container }: Pick<ProtectRecord, "namespace" | "container">): string {
    return join(this.folder, identifier.parse(namespace), `${identifier.parse(container)}.json`);
  }
}

function read(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

export function parse(text: string): ProtectRecord | undefined {
  try {
    return record.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
