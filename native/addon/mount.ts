/** Mounts as containerd describes them: type, source, and options as in fstab. */
import { readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { binding } from "./binding.js";
import { checkAbsolute, checkText } from "./check.js";
import { compactOverlay } from "./overlay-data.js";

export interface MountSpec {
  readonly type?: string | null;
  readonly source?: string | null;
  /** below the root that is mounted on; empty: the root itself */
  readonly target?: string | null;
  readonly options?: readonly string[] | null;
}

const MS = {
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

const PROPAGATION = MS.UNBINDABLE | MS.PRIVATE | MS.SLAVE | MS.SHARED;

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

/** Options that ask for more than a mount call; to ignore them would mount something else than was asked for. */
const UNSUPPORTED = /^(loop|uidmap=|gidmap=|X-containerd\.)/;

export interface ParsedOptions {
  readonly flags: number;
  /** what is left for the file system */
  readonly data: string;
}

/** @throws Error if an option is not supported */
export function parseMountOptions(options: readonly string[]): ParsedOptions {
  let flags = 0;
  const data: string[] = [];
  for (const option of options) {
    checkText("mount option", option);
    if (UNSUPPORTED.test(option)) throw new Error(`mount option '${option}' is not supported`);
    const change = OPTIONS.get(option);
    if (change === undefined) data.push(option);
    else flags = (flags & ~(change.clear ?? 0)) | (change.set ?? 0);
  }
  return { flags, data: data.join(",") };
}

/**
 * Mounts one of containerd's mounts on `root` or below it.
 * @throws Error if an option is not supported, the target lies outside of root, or the system's error
 */
export function mount(spec: MountSpec, root: string): void {
  checkAbsolute("root", root);
  const type = spec.type ?? "";
  const source = spec.source ?? "";
  checkText("mount type", type);
  checkText("mount source", source);
  const target = resolveTarget(root, spec.target ?? "");
  const { flags, data } = parseMountOptions(spec.options ?? []);
  const call = flags & ~PROPAGATION;
  // The kernel knows bind mounts by flag; "bind" is a type for people only.
  const fsType = type === "bind" || type === "rbind" ? "" : type;
  const bind = (type === "bind" ? MS.BIND : type === "rbind" ? MS.BIND | MS.REC : 0) | call;
  const compact = fsType === "overlay" ? compactOverlay(data) : { data, directory: "" };
  binding.mount(source, target, fsType, bind, compact.data, compact.directory);
  try {
    if ((flags & PROPAGATION) !== 0) binding.mount("", target, "", flags & (PROPAGATION | MS.REC), "", "");
    // A bind mount takes over its source's flags; its own need a second call.
    if ((bind & MS.BIND) !== 0 && (bind & MS.RDONLY) !== 0 && (bind & MS.REMOUNT) === 0) {
      binding.mount("", target, "", bind | MS.REMOUNT, "", "");
    }
  } catch (error) {
    binding.unmount(target, true);
    throw error;
  }
}

/** Mounts all, in their order; when one fails, those before it are taken away again. */
export function mountAll(specs: readonly MountSpec[], root: string): void {
  try {
    for (const spec of specs) mount(spec, root);
  } catch (error) {
    unmountAll(root);
    throw error;
  }
}

/** Unmounts one mount; lazily: at once out of sight, freed when nobody uses it any more. */
export function unmount(target: string, options: { readonly lazy?: boolean } = {}): void {
  checkAbsolute("target", target);
  binding.unmount(target, options.lazy ?? false);
}

/** Lazily unmounts everything mounted on `root` and below it, the latest first. Nothing there is no error. */
export function unmountAll(root: string): void {
  checkAbsolute("root", root);
  const real = realOrUndefined(root);
  if (real === undefined) return;
  for (const point of mountPointsBelow(real).reverse()) {
    try {
      binding.unmount(point, true);
    } catch (error) {
      // EINVAL: no mount point any more, it went with another one or somebody else was quicker.
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "EINVAL" && code !== "ENOENT") throw error;
    }
  }
}

/** Mount points at `path` and below it, in the order in which they were mounted. */
export function mountPointsBelow(path: string): string[] {
  const points: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const field = line.split(" ", 5)[4];
    if (field === undefined) continue;
    // The kernel writes blanks and backslashes as octal.
    const point = field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    if (point === path || point.startsWith(path === "/" ? "/" : `${path}/`)) points.push(point);
  }
  return points;
}

/** Links inside a container's root must not lead a mount out of it. */
function resolveTarget(root: string, below: string): string {
  checkText("mount target", below);
  const base = realpathSync(root);
  if (below === "" || below === "/") return base;
  const wanted = join(base, below);
  const real = realOrUndefined(wanted);
  if (real === undefined) throw new Error(`mount target '${below}' does not exist in ${root}`);
  if (real !== base && !real.startsWith(`${base}/`))
    throw new Error(`mount target '${below}' is outside of ${root}`);
  return real;
}

function realOrUndefined(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
