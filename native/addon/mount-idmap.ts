/** Mounts whose owners are shifted, for containers with a user namespace of their own. */
import { closeSync, mkdtempSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { binding } from "./binding.js";
import type { IdMapping } from "./mount-options.js";
import { commonFolder, splitLayers } from "./overlay-data.js";

/** A mount of `source` on `target` with shifted owners. They may be the same: the new mount then lies above the old. */
export function mountMapped(source: string, target: string, mapping: IdMapping, readOnly: boolean): void {
  const namespace = binding.userNamespace(lines(mapping.uid), lines(mapping.gid));
  try {
    binding.mountMapped(source, target, namespace, readOnly);
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
    mountMapped(common, scratch, mapping, true);
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

/** As the kernel reads them from uid_map and gid_map. */
function lines(mapping: string): string {
  return mapping
    .split(",")
    .map((part) => `${part.replaceAll(":", " ")}\n`)
    .join("");
}
