/** Files that a shim keeps in the bundle: for containerd after its restart, and for `delete` without a server. */
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parsePidFile } from "../../runtime/runc/index.js";
import type { OciSpec } from "../container/migratable.js";
import { errnoOf, ShimError } from "../errors.js";
import { DEFAULT_OPTIONS, optionsFromJson, optionsToJson, type RuntimeOptions } from "./options.js";

/** config.json of a container with many mounts has some 100 KiB. */
const MAX_JSON = 16 * 1024 * 1024;

export const pidFile = (bundle: string): string => join(bundle, "init.pid");
export const logFile = (bundle: string): string => join(bundle, "log.json");
export const rootfsOf = (bundle: string): string => join(bundle, "rootfs");

/** Read by containerd 1.6 and 1.7, and by agents, to find the socket again. */
export async function writeAddress(bundle: string, address: string): Promise<void> {
  await writeWhole(join(bundle, "address"), address);
}

export async function writeOptions(bundle: string, options: RuntimeOptions): Promise<void> {
  await writeWhole(join(bundle, "options.json"), JSON.stringify(optionsToJson(options)));
  await writeWhole(join(bundle, "runtime"), options.binaryName);
}

/** Defaults when Create was never reached. @throws ShimError when the file is damaged */
export async function readOptions(bundle: string): Promise<RuntimeOptions> {
  const value = await readJson(join(bundle, "options.json"));
  return value === undefined ? DEFAULT_OPTIONS : optionsFromJson(value);
}

/** @throws ShimError when config.json is missing or no object */
export async function readSpec(bundle: string): Promise<OciSpec> {
  const path = join(bundle, "config.json");
  const value = await readJson(path);
  if (typeof value !== "object" || value === null) {
    throw new ShimError(
      "INVALID_ARGUMENT",
      `${path} is missing or no JSON object`,
      "create the container again",
    );
  }
  return value as OciSpec;
}

/** undefined while runC has not started a process. */
export async function readInitPid(bundle: string): Promise<number | undefined> {
  return readPidFile(pidFile(bundle));
}

export async function readPidFile(path: string): Promise<number | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  return parsePidFile(text);
}

/** Readers see the old file or the new one, never half of one. */
async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, path);
}

async function readJson(path: string): Promise<unknown> {
  try {
    const text = await readFile(path, "utf8");
    if (text.length > MAX_JSON) throw new ShimError("INVALID_ARGUMENT", `${path} is too long`);
    return JSON.parse(text);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (error instanceof ShimError) throw error;
    throw new ShimError("INVALID_ARGUMENT", `${path} cannot be read`, "create the container again", error);
  }
}
