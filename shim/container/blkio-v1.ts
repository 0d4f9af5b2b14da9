/** Figures of the version 1 block controller. */
import { join } from "node:path";
import type { io } from "#protos/metrics";
import { perOperation, text } from "./cgroup-files.js";

type BlkioStat = io.containerd.cgroups.v1.BlkIOStat.$Properties;
type Field = Exclude<keyof BlkioStat, "$unknowns">;

/** What a scheduler that knows of cgroups counts; Linux before 5.0. */
const SCHEDULER_FILES: readonly (readonly [Field, string])[] = [
  ["sectorsRecursive", "blkio.sectors_recursive"],
  ["ioServiceBytesRecursive", "blkio.io_service_bytes_recursive"],
  ["ioServicedRecursive", "blkio.io_serviced_recursive"],
  ["ioQueuedRecursive", "blkio.io_queued_recursive"],
  ["ioServiceTimeRecursive", "blkio.io_service_time_recursive"],
  ["ioWaitTimeRecursive", "blkio.io_wait_time_recursive"],
  ["ioMergedRecursive", "blkio.io_merged_recursive"],
  ["ioTimeRecursive", "blkio.time_recursive"],
];

/** What is counted whatever the scheduler: of this cgroup alone, told by containerd under the same names. */
const THROTTLE_FILES: readonly (readonly [Field, string])[] = [
  ["ioServicedRecursive", "blkio.throttle.io_serviced"],
  ["ioServiceBytesRecursive", "blkio.throttle.io_service_bytes"],
];

export async function blkioOf(folder: string): Promise<BlkioStat> {
  const names = deviceNames(await text("/proc/partitions"));
  const counted = await read(folder, SCHEDULER_FILES, names);
  const any = Object.values(counted).some((entries) => entries.length > 0);
  return any ? counted : read(folder, THROTTLE_FILES, names);
}

async function read(
  folder: string,
  files: readonly (readonly [Field, string])[],
  names: ReadonlyMap<string, string>,
) {
  const fields = files.map(async ([field, file]) => {
    const values = perOperation(await text(join(folder, file)));
    const entries = values.map(({ major, minor, op, value }) => ({
      op,
      device: names.get(`${major}:${minor}`) ?? "",
      major,
      minor,
      value,
    }));
    return [field, entries] as const;
  });
  return Object.fromEntries(await Promise.all(fields));
}

/** "8:0" → "/dev/sda". @param partitions the text of /proc/partitions */
export function deviceNames(partitions: string): Map<string, string> {
  const names = new Map<string, string>();
  for (const line of partitions.split("\n")) {
    const [, major, minor, name] = /^\s*(\d+)\s+(\d+)\s+\d+\s+(\S+)/.exec(line) ?? [];
    const key = `${major}:${minor}`;
    if (major !== undefined && !names.has(key)) names.set(key, join("/dev", name ?? ""));
  }
  return names;
}
