/** Figures of a version 2 cgroup. */
import { join } from "node:path";
import type { io } from "#protos/metrics";
import { type Counter, keyed, number, perDevice, pressure, rdmaValues, text } from "./cgroup-files.js";
import { hugePageSizes } from "./huge-pages.js";

type Metrics = io.containerd.cgroups.v2.Metrics.$Properties;
type MemoryStat = io.containerd.cgroups.v2.MemoryStat.$Properties;

/** The lines of memory.stat that have a field: the same word in camel case. */
const MEMORY_LINES = [
  "anon",
  "file",
  "kernel_stack",
  "slab",
  "sock",
  "shmem",
  "file_mapped",
  "file_dirty",
  "file_writeback",
  "anon_thp",
  "inactive_anon",
  "active_anon",
  "inactive_file",
  "active_file",
  "unevictable",
  "slab_reclaimable",
  "slab_unreclaimable",
  "pgfault",
  "pgmajfault",
  "workingset_refault",
  "workingset_activate",
  "workingset_nodereclaim",
  "workingset_refault_anon",
  "workingset_refault_file",
  "workingset_activate_anon",
  "workingset_activate_file",
  "pgrefill",
  "pgscan",
  "pgsteal",
  "pgactivate",
  "pgdeactivate",
  "pglazyfree",
  "pglazyfreed",
  "thp_fault_alloc",
  "thp_collapse_alloc",
];

/** Names a file of the cgroup. */
type At = (name: string) => string;

/** @param folder the container's cgroup; files that it lacks count as zero */
export async function metricsV2(folder: string): Promise<Metrics> {
  const at: At = (name) => join(folder, name);
  const [pids, cpu, memory, memoryEvents, io, rdma, hugetlb] = await Promise.all([
    pidsOf(at),
    cpuOf(at),
    memoryOf(at),
    eventsOf(at),
    ioOf(at),
    rdmaOf(at),
    hugetlbOf(at),
  ]);
  return { pids, cpu, memory, memoryEvents, io, rdma, hugetlb };
}

async function pidsOf(at: At) {
  const [current, limit] = await Promise.all([number(at("pids.current")), number(at("pids.max"))]);
  return { current, limit };
}

async function cpuOf(at: At) {
  const [stat, psi] = await Promise.all([keyed(at("cpu.stat")), pressureOf(at, "cpu")]);
  const of = (name: string) => stat.get(name) ?? 0;
  return {
    usageUsec: of("usage_usec"),
    userUsec: of("user_usec"),
    systemUsec: of("system_usec"),
    nrPeriods: of("nr_periods"),
    nrThrottled: of("nr_throttled"),
    throttledUsec: of("throttled_usec"),
    nrBursts: of("nr_bursts"),
    burstUsec: of("burst_usec"),
    psi,
  };
}

async function memoryOf(at: At): Promise<MemoryStat> {
  const stat = await keyed(at("memory.stat"));
  // Without accounting there is nothing to tell.
  if (stat.size === 0) return {};
  const [usage, usageLimit, maxUsage, swapUsage, swapLimit, swapMaxUsage, psi] = await Promise.all([
    number(at("memory.current")),
    number(at("memory.max")),
    number(at("memory.peak")),
    number(at("memory.swap.current")),
    number(at("memory.swap.max")),
    number(at("memory.swap.peak")),
    pressureOf(at, "memory"),
  ]);
  const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const detail = Object.fromEntries(MEMORY_LINES.map((name) => [camel(name), stat.get(name) ?? 0]));
  return { ...detail, usage, usageLimit, maxUsage, swapUsage, swapLimit, swapMaxUsage, psi };
}

async function eventsOf(at: At) {
  const events = await keyed(at("memory.events"));
  if (events.size === 0) return null;
  const of = (name: string) => events.get(name) ?? 0;
  return {
    low: of("low"),
    high: of("high"),
    max: of("max"),
    oom: of("oom"),
    oomKill: of("oom_kill"),
    oomGroupKill: of("oom_group_kill"),
  };
}

async function ioOf(at: At) {
  const [stat, psi] = await Promise.all([text(at("io.stat")), pressureOf(at, "io")]);
  const usage = perDevice(stat).map(({ major, minor, values }) => ({
    major,
    minor,
    rbytes: values.get("rbytes") ?? 0,
    wbytes: values.get("wbytes") ?? 0,
    rios: values.get("rios") ?? 0,
    wios: values.get("wios") ?? 0,
  }));
  return { usage, psi };
}

async function rdmaOf(at: At) {
  const [current, limit] = await Promise.all([text(at("rdma.current")), text(at("rdma.max"))]);
  return { current: rdmaValues(current), limit: rdmaValues(limit) };
}

/** One for each size that the machine has, also where nothing accounts for it. */
async function hugetlbOf(at: At) {
  return Promise.all((await hugePageSizes()).map((size) => hugetlbOfSize(at, size)));
}

async function hugetlbOfSize(at: At, pagesize: string) {
  const file = (name: string) => at(`hugetlb.${pagesize}.${name}`);
  const [current, max, events] = await Promise.all([
    number(file("current")),
    number(file("max")),
    keyed(file("events")),
  ]);
  const failcnt: Counter = events.get("max") ?? 0;
  return { current, max, pagesize, failcnt };
}

async function pressureOf(at: At, resource: string) {
  return pressure(await text(at(`${resource}.pressure`)));
}
