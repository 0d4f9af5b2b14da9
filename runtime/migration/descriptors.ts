/**
 * runC's `descriptors.json`: where the descriptors 0-2 of init led at the source. `runc restore` reads it as it
 * starts, long before the source has dumped anything; so it is sent ahead, and compared with the dump's own later.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { MigrationError } from "./error.js";

const FILE = "descriptors.json";
const MAX_BYTES = 16 * 1024;
const schema = z.tuple([z.string().max(4096), z.string().max(4096), z.string().max(4096)]);

export type Descriptors = z.infer<typeof schema>;

/** @throws MigrationError `protocol` when it is not a list of three links */
export function parseDescriptors(text: string): Descriptors {
  if (text.length > MAX_BYTES) throw new MigrationError("protocol", `${FILE} is too long`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new MigrationError("protocol", `${FILE} is not JSON`, { cause });
  }
  const result = schema.safeParse(json);
  if (!result.success)
    throw new MigrationError("protocol", `${FILE} does not list the descriptors 0, 1 and 2`);
  return result.data;
}

export async function writeDescriptors(imageDir: string, descriptors: Descriptors): Promise<void> {
  await writeFile(join(imageDir, FILE), JSON.stringify(descriptors));
}

/** @throws MigrationError `inconsistent` when the dump's own list differs from the early one */
export async function checkDescriptors(imageDir: string, early: Descriptors): Promise<void> {
  const late = parseDescriptors(await readFile(join(imageDir, FILE), "utf8"));
  if (late.every((link, i) => link === early[i])) return;
  throw new MigrationError(
    "inconsistent",
    `the container's standard streams changed on the way: ${early} became ${late}`,
    {
      remedy: "migrate again",
    },
  );
}
