/** Figures of the version 1 controllers. */
import { join } from "node:path";
import type { io } from "#protos/metrics";
import { blkioOf } from "./blkio-v1.js";
import { keyed, number, numberIn, rdmaValues, text } from "./cgroup-files.js";
import { hugePageSizes } from "./huge-pages.js";

type Metrics = io.containerd.cgroups.v1.Metrics.$Properties;
/** Controller → the container's folder; a controller that is not mounted has none. */
type Folders = ReadonlyMap<string, string>;

/** The kernel counts user and system time in ticks of 1/100 s. */
const NS_PER_TICK = 10_000_000;

export async function metricsV1(folders: Folders): Promise<Metrics> {
  const [hugetlb, pids, cpu, memory, blkio, rdma, memoryOomControl] = await Promise.all([
    part(folders, "hugetlb", hugetlbOf),
    part(folders, "pids", pidsOf),
    cpuOf(folders),
    part(folders, "memory", memoryOf),
    part(folders, "blkio", blkioOf),
    part(folders, "rdma", rdmaOf),
    part(folders, "memory", oomOf),
  ]);
  return { hugetlb: hugetlb ?? [], pids, cpu, memory, blkio, rdma, memoryOomControl };
}

/** Null also when the cgroup is gone, as after the end of a container that has not been deleted yet. */
async function part<T>(
  folders: Folders,
  name: string,
  read: (folder: string) => Promise<T>,
): Promise<T | null> {
  const folder = folders.get(name);
  if (folder === undefined || (await text(join(folder, "notify_on_release"))) === "") return null;
  return read(folder);
}

async function hugetlbOf(folder: string) {
  return Promise.all(
    (await hugePageSizes()).map(async (pagesize) => {
      const file = (name: string) => number(join(folder, `hugetlb.${pagesize}.${name}`));
      const names = ["usage_in_bytes", "max_usage_in_bytes", "failcnt"];
      const [usage = 0, max = 0, failcnt = 0] = await Promise.all(names.map(file));
      return { usage, max, failcnt, pagesize };
    }),
  );
}

async function rdmaOf(folder: string) {
  const [current, limit] = await Promise.all([
    text(join(folder, "rdma.current")),
    text(join(folder, "rdma.max")),
  ]);
  return { current: rdmaValues(current), limit: rdmaValues(limit) };
}

async function pidsOf(folder: string) {
  const [current, limit] = await Promise.all([
    number(join(folder, "pids.current")),
    text(join(folder, "pids.max")),
  ]);
  // containerd tells "no limit" as 0.
  return { current, limit: limit.trim() === "max" ? 0 : numberIn(limit) };
}

/** Always told, if only as zeros: clients look into it without asking. */
async function cpuOf(folders: Folders) {
  const [usage, throttling] = await Promise.all([
    part(folders, "cpuacct", usageOf),
    part(folders, "cpu", throttlingOf),
  ]);
  return { usage: usage ?? {}, throttling: throttling ?? {} };
}

async function usageOf(folder: string) {
  const [total, perCpu, ticks] = await Promise.all([
    number(join(folder, "cpuacct.usage")),
    text(join(folder, "cpuacct.usage_percpu")),
    keyed(join(folder, "cpuacct.stat")),
  ]);
  return {
    total,
    kernel: (ticks.get("system") ?? 0) * NS_PER_TICK,
    user: (ticks.get("user") ?? 0) * NS_PER_TICK,
    perCpu: perCpu.trim().split(/\s+/).filter(Boolean).map(numberIn),
  };
}

async function throttlingOf(folder: string) {
  const stat = await keyed(join(folder, "cpu.stat"));
  return {
    periods: stat.get("nr_periods") ?? 0,
    throttledPeriods: stat.get("nr_throttled") ?? 0,
    throttledTime: stat.get("throttled_time") ?? 0,
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

async function oomOf(folder: string) {
  const control = await keyed(join(folder, "memory.oom_control"));
  return {
    oomKillDisable: control.get("oom_kill_disable") ?? 0,
    underOom: control.get("under_oom") ?? 0,
    oomKill: control.get("oom_kill") ?? 0,
  };
}
