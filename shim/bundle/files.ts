/**
 * Files that a shim keeps in the bundle: for containerd after its restart, and for `delete` without a server. They are
 * small and in memory (/run): reading them at once is quicker than a thread that does it.
 */
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { parsePidFile } from "../../runtime/runc/index.js";
import type { OciSpec } from "../container/migratable.js";
import { errnoOf, messageOf, ShimError } from "../errors.js";
import { DEFAULT_OPTIONS, optionsFromJson, optionsToJson, type RuntimeOptions } from "./options.js";
import { specOf } from "./spec.js";

/** config.json of a container with many mounts has some 100 KiB. */
const MAX_JSON = 16 * 1024 * 1024;

export const pidFile = (bundle: string): string => join(bundle, "init.pid");
export const logFile = (bundle: string): string => join(bundle, "log.json");
export const rootfsOf = (bundle: string): string => join(bundle, "rootfs");

/** Read by containerd 1.6 and 1.7, and by agents, to find the socket again. */
export function writeAddress(bundle: string, address: string): void {
  writeWhole(join(bundle, "address"), address);
}

export function writeOptions(bundle: string, options: RuntimeOptions): void {
  writeWhole(join(bundle, "options.json"), JSON.stringify(optionsToJson(options)));
  writeWhole(join(bundle, "runtime"), options.binaryName);
}

/** Defaults when Create was never reached. @throws ShimError when the file is damaged */
export function readOptions(bundle: string): RuntimeOptions {
  const value = readJson(join(bundle, "options.json"));
  return value === undefined ? DEFAULT_OPTIONS : optionsFromJson(value);
}

/** @throws ShimError when config.json is missing or damaged */
export function readSpec(bundle: string): OciSpec {
  const path = join(bundle, "config.json");
  return specOf(path, readJson(path));
}

/**
 * The same for runC to judge: a mistake in it gives an empty spec, since runC reads the file too and tells it better.
 * @throws ShimError for a file that runC must not be let near: a fifo would hold it up for ever
 */
export function readSpecForRunc(bundle: string): OciSpec {
  const path = join(bundle, "config.json");
  if (!existsSync(path)) return {};
  let text: string;
  try {
    text = readRegular(path);
  } catch (error) {
    const message = `${path} cannot be read: ${messageOf(error)}`;
    throw new ShimError("UNKNOWN", message, "create the container again", error);
  }
  try {
    return specOf(path, JSON.parse(text));
  } catch {
    return {};
  }
}

/** undefined while runC has not started a process. */
export function readInitPid(bundle: string): number | undefined {
  return readPidFile(pidFile(bundle));
}

export function readPidFile(path: string): number | undefined {
  try {
    return parsePidFile(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** Readers see the old file or the new one, never half of one. */
function writeWhole(path: string, text: string): void {
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, text, { mode: 0o600 });
  renameSync(temporary, path);
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readRegular(path));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    if (error instanceof ShimError) throw error;
    const message = `${path} cannot be read: ${messageOf(error)}`;
    throw new ShimError("INVALID_ARGUMENT", message, "create the container again", error);
  }
}

/** Without waiting, whatever somebody put there: a fifo would hold the shim up for ever. */
function readRegular(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const about = fstatSync(fd);
    if (!about.isFile()) throw new Error("it is not a regular file");
    if (about.size > MAX_JSON) throw new Error(`it is longer than ${MAX_JSON} bytes`);
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
