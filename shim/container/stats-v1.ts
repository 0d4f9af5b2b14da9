/** Figures of the version 1 controllers. */
import { join } from "node:path";
import type { io } from "#protos/metrics";
import { type DeviceValue, keyed, number, numberIn, perOperation, text } from "./cgroup-files.js";

type Metrics = io.containerd.cgroups.v1.Metrics.$Properties;
type Folders = ReadonlyMap<string, string>;

/** The kernel counts user and system time in ticks of 1/100 s. */
const NS_PER_TICK = 10_000_000;

export async function metricsV1(folders: Folders): Promise<Metrics> {
  const [pids, cpu, memory, blkio, memoryOomControl] = await Promise.all([
    part(folders, "pids", pidsOf),
    cpuOf(folders),
    part(folders, "memory", memoryOf),
    part(folders, "blkio", blkioOf),
    part(folders, "memory", oomOf),
  ]);
  return { pids, cpu, memory, blkio, memoryOomControl };
}

async function part<T>(
  folders: Folders,
  name: string,
  read: (folder: string) => Promise<T>,
): Promise<T | null> {
  const folder = folders.get(name);
  return folder === undefined ? null : read(folder);
}

async function pidsOf(folder: string) {
  const [current, limit] = await Promise.all([
    number(join(folder, "pids.current")),
    text(join(folder, "pids.max")),
  ]);
  // containerd tells "no limit" as 0.
  return { current, limit: limit.trim() === "max" ? 0 : numberIn(limit) };
}

async function cpuOf(folders: Folders) {
  const account = folders.get("cpuacct");
  const control = folders.get("cpu");
  if (account === undefined && control === undefined) return null;
  const [total, perCpu, ticks, throttle] = await Promise.all([
    number(join(account ?? "", "cpuacct.usage")),
    text(join(account ?? "", "cpuacct.usage_percpu")),
    keyed(join(account ?? "", "cpuacct.stat")),
    keyed(join(control ?? "", "cpu.stat")),
  ]);
  return {
    usage: {
      total,
      kernel: (ticks.get("system") ?? 0) * NS_PER_TICK,
      user: (ticks.get("user") ?? 0) * NS_PER_TICK,
      perCpu: perCpu.trim().split(/\s+/).filter(Boolean).map(Number),
    },
    throttling: {
      periods: throttle.get("nr_periods") ?? 0,
      throttledPeriods: throttle.get("nr_throttled") ?? 0,
      throttledTime: throttle.get("throttled_time") ?? 0,
    },
  };
}

async function memoryOf(folder: string) {
  const [stat, usage, swap, kernel, kernelTcp] = await Promise.all([
    keyed(join(folder, "memory.stat")),
    entryOf(folder, "memory"),
    entryOf(folder, "memory.memsw"),
    entryOf(folder, "memory.kmem"),
    entryOf(folder, "memory.kmem.tcp"),
  ]);
  const of = (name: string) => stat.get(name) ?? 0;
  return {
    cache: of("cache"),
    rss: of("rss"),
    rssHuge: of("rss_huge"),
    mappedFile: of("mapped_file"),
    dirty: of("dirty"),
    writeback: of("writeback"),
    pgPgIn: of("pgpgin"),
    pgPgOut: of("pgpgout"),
    pgFault: of("pgfault"),
    pgMajFault: of("pgmajfault"),
    inactiveAnon: of("inactive_anon"),
    activeAnon: of("active_anon"),
    inactiveFile: of("inactive_file"),
    activeFile: of("active_file"),
    unevictable: of("unevictable"),
    hierarchicalMemoryLimit: of("hierarchical_memory_limit"),
    hierarchicalSwapLimit: of("hierarchical_memsw_limit"),
    totalCache: of("total_cache"),
    totalRss: of("total_rss"),
    totalRssHuge: of("total_rss_huge"),
    totalMappedFile: of("total_mapped_file"),
    totalDirty: of("total_dirty"),
    totalWriteback: of("total_writeback"),
    totalPgPgIn: of("total_pgpgin"),
    totalPgPgOut: of("total_pgpgout"),
    totalPgFault: of("total_pgfault"),
    totalPgMajFault: of("total_pgmajfault"),
    totalInactiveAnon: of("total_inactive_anon"),
    totalActiveAnon: of("total_active_anon"),
    totalInactiveFile: of("total_inactive_file"),
    totalActiveFile: of("total_active_file"),
    totalUnevictable: of("total_unevictable"),
    usage,
    swap,
    kernel,
    kernelTcp,
  };
}

async function entryOf(folder: string, prefix: string) {
  const names = ["limit_in_bytes", "usage_in_bytes", "max_usage_in_bytes", "failcnt"];
  const [limit, usage, max, failcnt] = await Promise.all(
    names.map((name) => number(join(folder, `${prefix}.${name}`))),
  );
  return { limit: limit ?? 0, usage: usage ?? 0, max: max ?? 0, failcnt: failcnt ?? 0 };
}

async function blkioOf(folder: string) {
  const read = async (name: string) => perOperation(await text(join(folder, name)));
  const [bytes, serviced] = await Promise.all([
    read("blkio.throttle.io_service_bytes_recursive"),
    read("blkio.throttle.io_serviced_recursive"),
  ]);
  const entry = ({ major, minor, op, value }: DeviceValue) => ({ major, minor, op, value, device: "" });
  return { ioServiceBytesRecursive: bytes.map(entry), ioServicedRecursive: serviced.map(entry) };
}

async function oomOf(folder: string) {
  const control = await keyed(join(folder, "memory.oom_control"));
  return {
    oomKillDisable: control.get("oom_kill_disable") ?? 0,
    underOom: control.get("under_oom") ?? 0,
    oomKill: control.get("oom_kill") ?? 0,
  };
}
