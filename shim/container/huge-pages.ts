/** The sizes of huge pages that this machine has, in the words that the cgroup files use. */
import { readdir } from "node:fs/promises";

const UNITS = ["KB", "MB", "GB", "TB"];

let known: Promise<readonly string[]> | undefined;

/** E.g. "2MB", "1GB", in the kernel's order of folders. They do not change while the machine runs. */
export function hugePageSizes(): Promise<readonly string[]> {
  known ??= readdir("/sys/kernel/mm/hugepages").then(
    (names) => names.sort().flatMap(sizeOf),
    () => [],
  );
  return known;
}

/** From a folder's name: "hugepages-2048kB" → "2MB". */
export function sizeOf(folder: string): string[] {
  const [, digits] = /^hugepages-(\d+)kB$/.exec(folder) ?? [];
  if (digits === undefined) return [];
  let size = Number(digits);
  let unit = 0;
  for (; size >= 1024 && unit < UNITS.length - 1; unit++) size /= 1024;
  return [`${size}${UNITS[unit]}`];
}
