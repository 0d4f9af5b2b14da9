/** Options of mounts, as in fstab and as containerd adds to them. */
import { checkText } from "./check.js";

export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  SYNCHRONOUS: 16,
  REMOUNT: 32,
  MANDLOCK: 64,
  DIRSYNC: 128,
  NOSYMFOLLOW: 256,
  NOATIME: 1024,
  NODIRATIME: 2048,
  BIND: 4096,
  REC: 16384,
  UNBINDABLE: 1 << 17,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
  RELATIME: 1 << 21,
  STRICTATIME: 1 << 24,
} as const;

/** A mount call changes either these or others. */
export const PROPAGATION = MS.UNBINDABLE | MS.PRIVATE | MS.SLAVE | MS.SHARED;

type Change = { readonly set?: number; readonly clear?: number };

const OPTIONS: ReadonlyMap<string, Change> = new Map<string, Change>([
  ["defaults", {}],
  ["ro", { set: MS.RDONLY }],
  ["rw", { clear: MS.RDONLY }],
  ["bind", { set: MS.BIND }],
  ["rbind", { set: MS.BIND | MS.REC }],
  ["remount", { set: MS.REMOUNT }],
  ["nosuid", { set: MS.NOSUID }],
  ["suid", { clear: MS.NOSUID }],
  ["nodev", { set: MS.NODEV }],
  ["dev", { clear: MS.NODEV }],
  ["noexec", { set: MS.NOEXEC }],
  ["exec", { clear: MS.NOEXEC }],
  ["sync", { set: MS.SYNCHRONOUS }],
  ["async", { clear: MS.SYNCHRONOUS }],
  ["dirsync", { set: MS.DIRSYNC }],
  ["mand", { set: MS.MANDLOCK }],
  ["nomand", { clear: MS.MANDLOCK }],
  ["noatime", { set: MS.NOATIME }],
  ["atime", { clear: MS.NOATIME }],
  ["nodiratime", { set: MS.NODIRATIME }],
  ["diratime", { clear: MS.NODIRATIME }],
  ["relatime", { set: MS.RELATIME }],
  ["norelatime", { clear: MS.RELATIME }],
  ["strictatime", { set: MS.STRICTATIME }],
  ["nostrictatime", { clear: MS.STRICTATIME }],
  ["nosymfollow", { set: MS.NOSYMFOLLOW }],
  ["private", { set: MS.PRIVATE }],
  ["rprivate", { set: MS.PRIVATE | MS.REC }],
  ["shared", { set: MS.SHARED }],
  ["rshared", { set: MS.SHARED | MS.REC }],
  ["slave", { set: MS.SLAVE }],
  ["rslave", { set: MS.SLAVE | MS.REC }],
  ["unbindable", { set: MS.UNBINDABLE }],
  ["runbindable", { set: MS.UNBINDABLE | MS.REC }],
]);

/** containerd's mount manager should have carried these out; to pass them over would mount something else than was asked for. */
const FOREIGN = /^X-containerd\./;

/** Numbers of users (or groups) of the mapped side, shifted: "CONTAINER:HOST:SIZE", and more after commas. */
export interface IdMapping {
  readonly uid: string;
  readonly gid: string;
}

export interface ParsedOptions {
  readonly flags: number;
  /** what is left for the file system */
  readonly data: string;
  /** The source is a file, to be mounted through a loop device. */
  readonly loop?: { readonly direct: boolean };
  readonly idMapping?: IdMapping;
}

/** @throws Error if an option cannot be carried out */
export function parseMountOptions(options: readonly string[]): ParsedOptions {
  let flags = 0;
  const data: string[] = [];
  const special = new Map<string, string>();
  for (const option of options) {
    checkText("mount option", option);
    if (FOREIGN.test(option)) throw new Error(`mount option '${option}' is not supported`);
    const [, name, value = ""] = /^(loop|uidmap|gidmap)(?:=(.*))?$/.exec(option) ?? [];
    const change = OPTIONS.get(option);
    if (name !== undefined && (name === "loop") === !option.includes("=")) special.set(name, value);
    else if (change === undefined) data.push(option);
    else flags = (flags & ~(change.clear ?? 0)) | (change.set ?? 0);
  }
  const loop = special.has("loop") ? loopOf(data) : undefined;
  const idMapping = mappingOf(special.get("uidmap"), special.get("gidmap"));
  return { flags, data: data.join(","), ...(loop ? { loop } : {}), ...(idMapping ? { idMapping } : {}) };
}

/** "direct-io" is for the loop device, not for the file system. */
function loopOf(data: string[]): { direct: boolean } {
  const at = data.indexOf("direct-io");
  if (at >= 0) data.splice(at, 1);
  return { direct: at >= 0 };
}

function mappingOf(uid: string | undefined, gid: string | undefined): IdMapping | undefined {
  if (uid === undefined && gid === undefined) return undefined;
  if (uid === undefined || gid === undefined) {
    throw new Error("mount options uidmap and gidmap only go together");
  }
  checkMapping("uidmap", uid);
  checkMapping("gidmap", gid);
  return { uid, gid };
}

/** The kernel takes that many lines. */
const MAX_MAPPINGS = 340;
const MAX_ID = 2 ** 32 - 1;

function checkMapping(name: string, mapping: string): void {
  const parts = mapping.split(",");
  const isPart = (part: string) =>
    /^\d{1,10}:\d{1,10}:\d{1,10}$/.test(part) && part.split(":").every((id) => Number(id) <= MAX_ID);
  if (parts.length > MAX_MAPPINGS || !parts.every(isPart)) {
    throw new Error(`mount option '${name}=${mapping.slice(0, 100)}' is not of the form CONTAINER:HOST:SIZE`);
  }
}
