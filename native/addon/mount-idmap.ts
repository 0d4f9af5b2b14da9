/** Mounts whose owners are shifted, for containers with a user namespace of their own. */
import { closeSync, mkdtempSync, realpathSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { binding } from "./binding.js";
import type { IdMapping } from "./mount-options.js";
import { mountPointsBelow } from "./mount-points.js";
import { commonFolder, splitLayers } from "./overlay-data.js";

interface MappedOptions {
  readonly readOnly?: boolean;
  /** With what is mounted below it: all of that must be of file systems that can be shifted, and not be so yet. */
  readonly recursive?: boolean;
}

/** A mount of `source` on `target` with shifted owners. They may be the same: the new mount then lies above the old. */
export function mountMapped(
  source: string,
  target: string,
  mapping: IdMapping,
  { readOnly = false, recursive = false }: MappedOptions,
): void {
  const namespace = binding.userNamespace(lines(mapping.uid), lines(mapping.gid));
  try {
    binding.mountMapped(source, target, namespace, readOnly, recursive);
  } finally {
    closeSync(namespace);
  }
}

/**
 * An overlay cannot be shifted, but its layers can: calls `use` with data that names the layers by a shifted mount of
 * their common folder. It lives as long as the call: the overlay has mounts of its own by then.
 */
export function withMappedLayers(
  data: string,
  mapping: IdMapping,
  target: string,
  use: (data: string) => void,
): void {
  const { before, layers, after } = splitLayers(data);
  const common = commonFolder(layers);
  if (common === "/")
    throw new Error("the overlay's layers have no folder in common: owners cannot be shifted");
  const scratch = mkdtempSync(join(dirname(target), "idmapped-"));
  try {
    mountMapped(common, scratch, mapping, { readOnly: true, recursive: hasMounts(common, layers) });
    try {
      const shifted = layers.map((layer) => scratch + layer.slice(common.length));
      use([...before, `lowerdir=${shifted.join(":")}`, ...after].join(","));
    } finally {
      binding.unmount(scratch, true);
    }
  } finally {
    rmdirSync(scratch);
  }
}

/** Whether a layer lies on a mount below the common folder, or has one in it. What else is mounted there does not matter. */
function hasMounts(common: string, layers: readonly string[]): boolean {
  const real = layers.map((layer) => `${realpathSync(layer)}/`);
  const top = realpathSync(common);
  const points = mountPointsBelow(top).flatMap((point) => (point === top ? [] : [`${point}/`]));
  return points.some((point) => real.some((layer) => layer.startsWith(point) || point.startsWith(layer)));
}

/** As the kernel reads them from uid_map and gid_map. */
function lines(mapping: string): string {
  return mapping
    .split(",")
    .map((part) => `${part.replaceAll(":", " ")}\n`)
    .join("");
}
