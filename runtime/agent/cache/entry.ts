/** What the cache has under one name: a complete image and, beside it, those of what has changed since. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../../durable.js";
import { hostName } from "../config.js";
import { identifier, type Manifest, parseManifest } from "../manifest.js";
import { imageLink } from "../protect/record.js";
import { cacheName } from "./name.js";

export type Part = z.infer<typeof imageLink>;

const entry = z.object({
  version: z.literal(1),
  name: cacheName,
  namespace: identifier,
  container: identifier,
  /** The host that has sent it. */
  source: hostName,
  /** Each but the first needs the one before. */
  parts: z.array(imageLink).min(1).max(64),
});
export type Entry = z.infer<typeof entry>;

const FILE = "entry.json";
const MAX_BYTES = 64 * 1024;

/** What is in a folder of the cache besides that is not complete. */
export function filesOf(parts: readonly Part[]): string[] {
  return [FILE, ...parts.flatMap(({ name }) => [name, `${name}.files`, `${name}.manifest`])];
}

/** The three things that make a part. */
export function placesOf(folder: string, name: string) {
  return {
    /** Folder of CRIU's images. */
    image: join(folder, name),
    /** What had changed in the writable layer. */
    files: join(folder, `${name}.files`),
    manifest: join(folder, `${name}.manifest`),
  };
}

/** From here on it is there. */
export function writeEntry(folder: string, value: Entry): Promise<void> {
  return writeDurably(join(folder, FILE), `${JSON.stringify(entry.parse(value), null, 2)}\n`);
}

/** @returns undefined when there is none */
export async function readEntry(folder: string): Promise<Entry | undefined> {
  const text = await readFile(join(folder, FILE), "utf8").catch(() => "");
  if (text.length > MAX_BYTES) return undefined;
  try {
    return entry.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Of the newest part. @throws AgentError PROTOCOL when it is damaged */
export async function readManifest(folder: string, value: Entry): Promise<Manifest> {
  const { manifest } = placesOf(folder, newestOf(value).name);
  return parseManifest(await readFile(manifest, "utf8"));
}

export function newestOf({ parts }: Entry): Part {
  return parts.at(-1) as Part;
}

export function bytesOf({ parts }: Entry): number {
  return parts.reduce((sum, one) => sum + one.bytes, 0);
}

export function totalOf(entries: readonly Entry[]): number {
  return entries.reduce((sum, one) => sum + bytesOf(one), 0);
}
