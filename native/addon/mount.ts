/** Mounts as containerd describes them: type, source, and options as in fstab. */
import { closeSync, realpathSync } from "node:fs";
import { binding } from "./binding.js";
import { checkAbsolute, checkText } from "./check.js";
import { mountMapped, withMappedLayers } from "./mount-idmap.js";
import { MS, type ParsedOptions, PROPAGATION, parseMountOptions } from "./mount-options.js";
import { mountPointsBelow } from "./mount-points.js";
import { compactOverlay } from "./overlay-data.js";
import { pathInRoot } from "./root-path.js";

export interface MountSpec {
  readonly type?: string | null;
  readonly source?: string | null;
  /** below the root that is mounted on; empty: the root itself */
  readonly target?: string | null;
  readonly options?: readonly string[] | null;
}

/**
 * Mounts one of containerd's mounts on `root` or below it. What fails half-way leaves no mount.
 * @throws Error if an option cannot be carried out, or the system's error
 */
export function mount(spec: MountSpec, root: string): void {
  checkAbsolute("root", root);
  const type = spec.type ?? "";
  const source = spec.source ?? "";
  checkText("mount type", type);
  checkText("mount source", source);
  const target = pathInRoot(realpathSync(root), spec.target ?? "");
  const options = parseMountOptions(spec.options ?? []);
  // The kernel knows bind mounts by flag; "bind" is a type for people only.
  const fsType = type === "bind" || type === "rbind" ? "" : type;
  const bind = type === "bind" ? MS.BIND : type === "rbind" ? MS.BIND | MS.REC : 0;
  const flags = bind | (options.flags & ~PROPAGATION);
  mountFirst({ source, target, type: fsType, flags }, options);
  try {
    change(target, flags, options);
  } catch (error) {
    binding.unmount(target, true);
    throw error;
  }
}

interface Call {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly flags: number;
}

function mountFirst(call: Call, options: ParsedOptions): void {
  const { data, loop, idMapping } = options;
  if (loop) mountLoop(call, data, loop.direct);
  else if (call.type !== "overlay") binding.mount(call.source, call.target, call.type, call.flags, data, "");
  else if (!idMapping) mountOverlay(call, data);
  else withMappedLayers(data, idMapping, call.target, (mapped) => mountOverlay(call, mapped));
}

function mountOverlay({ source, target, type, flags }: Call, data: string): void {
  const compact = compactOverlay(data);
  binding.mount(source, target, type, flags, compact.data, compact.directory);
}

/** The device goes by itself when the mount does. */
function mountLoop({ source, target, type, flags }: Call, data: string, direct: boolean): void {
  const device = binding.attachLoop(source, (flags & MS.RDONLY) !== 0, direct);
  try {
    binding.mount(device.path, target, type, flags, data, "");
  } finally {
    closeSync(device.fd);
  }
}

/** What takes calls of its own: propagation, the flags of a bind mount (it takes over its source's), owners. */
function change(target: string, flags: number, { flags: all, idMapping }: ParsedOptions): void {
  if ((all & PROPAGATION) !== 0) binding.mount("", target, "", all & (PROPAGATION | MS.REC), "", "");
  const isBind = (flags & MS.BIND) !== 0 && (flags & MS.REMOUNT) === 0;
  if (isBind && (flags & MS.RDONLY) !== 0) binding.mount("", target, "", flags | MS.REMOUNT, "", "");
  if (idMapping && isBind) mountMapped(target, target, idMapping, { recursive: true });
}

/** Unmounts one mount; lazily: at once out of sight, freed when nobody uses it any more. */
export function unmount(target: string, options: { readonly lazy?: boolean } = {}): void {
  checkAbsolute("target", target);
  binding.unmount(target, options.lazy ?? false);
}

/**
 * Unmounts everything mounted on `root` and below it, the latest first. Nothing there is no error.
 * @param options lazy (the default): also what is in use. @returns false when, without that, something is in use
 */
export function unmountAll(root: string, options: { readonly lazy?: boolean } = {}): boolean {
  checkAbsolute("root", root);
  const real = realOrUndefined(root);
  if (real === undefined) return true;
  for (const point of mountPointsBelow(real).reverse()) {
    try {
      binding.unmount(point, options.lazy ?? true);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "EBUSY") return false;
      // EINVAL: no mount point any more, it went with another one or somebody else was quicker.
      if (code !== "EINVAL" && code !== "ENOENT") throw error;
    }
  }
  return true;
}

function realOrUndefined(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
