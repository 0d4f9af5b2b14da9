/** The data of an overlay mount: "lowerdir=A:B,upperdir=C,workdir=D". */
import { posix } from "node:path";

/** The kernel takes one page of mount data, with the zero at its end. */
const MAX_DATA_BYTES = 4095;
const LOWER = "lowerdir=";

/** The options before the layers, the layers, the options after them. */
export interface OverlayData {
  readonly before: readonly string[];
  readonly layers: readonly string[];
  readonly after: readonly string[];
}

/** @throws Error if the layers are missing, not absolute, or have escaped colons in their names */
export function splitLayers(data: string): OverlayData {
  const options = data.split(",");
  const index = options.findIndex((option) => option.startsWith(LOWER));
  const lower = options[index]?.slice(LOWER.length) ?? "";
  const layers = lower.split(":");
  if (index < 0 || lower.includes("\\") || !layers.every((layer) => layer.startsWith("/"))) {
    throw new Error("the overlay's layers are not a list of absolute paths");
  }
  return { before: options.slice(0, index), layers, after: options.slice(index + 1) };
}

/**
 * Overlay data that fits the kernel's page even for images of many layers: lower folders are named relative to
 * their common folder, which `directory` then names ("" when nothing had to be changed).
 * @throws Error if the data is too long even so
 */
export function compactOverlay(data: string): { data: string; directory: string } {
  if (Buffer.byteLength(data) <= MAX_DATA_BYTES) return { data, directory: "" };
  const { before, layers, after } = splitLayers(data);
  const directory = commonFolder(layers);
  const shorter = layers.map((layer) => posix.relative(directory, layer) || ".").join(":");
  const compact = [...before, LOWER + shorter, ...after].join(",");
  if (Buffer.byteLength(compact) <= MAX_DATA_BYTES) return { data: compact, directory };
  throw new Error(`overlay mount data is longer than ${MAX_DATA_BYTES} bytes: the image has too many layers`);
}

/** The folder that holds all of these; "/" when they have nothing in common. */
export function commonFolder(folders: readonly string[]): string {
  let common = posix.dirname(folders[0] ?? "/");
  for (const folder of folders) {
    while (common !== "/" && !folder.startsWith(`${common}/`)) common = posix.dirname(common);
  }
  return common;
}
