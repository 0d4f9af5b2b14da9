import { posix } from "node:path";

/** The kernel takes one page of mount data, with the zero at its end. */
const MAX_DATA_BYTES = 4095;
const LOWER = "lowerdir=";

/**
 * Overlay data that fits the kernel's page even for images of many layers: lower folders are named relative to
 * their common folder, which `directory` then names ("" when nothing had to be changed).
 * @throws Error if the data is too long even so
 */
export function compactOverlay(data: string): { data: string; directory: string } {
  if (Buffer.byteLength(data) <= MAX_DATA_BYTES) return { data, directory: "" };
  const options = data.split(",");
  const index = options.findIndex((option) => option.startsWith(LOWER));
  const lower = options[index]?.slice(LOWER.length) ?? "";
  const folders = lower.split(":");
  // Escaped colons or relative names: left as they are, and then too long.
  if (index >= 0 && !lower.includes("\\") && folders.every((folder) => folder.startsWith("/"))) {
    const directory = commonFolder(folders);
    options[index] = LOWER + folders.map((folder) => posix.relative(directory, folder) || ".").join(":");
    const shorter = options.join(",");
    if (Buffer.byteLength(shorter) <= MAX_DATA_BYTES) return { data: shorter, directory };
  }
  throw new Error(`overlay mount data is longer than ${MAX_DATA_BYTES} bytes: the image has too many layers`);
}

function commonFolder(folders: readonly string[]): string {
  let common = posix.dirname(folders[0] ?? "/");
  for (const folder of folders) {
    while (common !== "/" && !folder.startsWith(`${common}/`)) common = posix.dirname(common);
  }
  return common;
}
