/** Figures of a version 2 cgroup. */
import { join } from "node:path";
import type { io } from "#protos/metrics";
import { keyed, number, perDevice, text } from "./cgroup-files.js";

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

export async function metricsV2(folder: string): Promise<Metrics> {
  const at = (name: string) => join(folder, name);
  const [current, limit, cpu, memory, events, io] = await Promise.all([
    number(at("pids.current")),
    number(at("pids.max")),
    keyed(at("cpu.stat")),
    memoryOf(at),
    keyed(at("memory.events")),
    text(at("io.stat")),
  ]);
  return { pids: { current, limit }, cpu: cpuOf(cpu), memory, memoryEvents: eventsOf(events), io: ioOf(io) };
}

function cpuOf(stat: Map<string, number>) {
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
  };
}

async function memoryOf(at: (name: string) => string): Promise<MemoryStat> {
  const names = ["memory.current", "memory.max", "memory.swap.current", "memory.swap.max", "memory.peak"];
  const [stat, usage = 0, usageLimit = 0, swapUsage = 0, swapLimit = 0, maxUsage = 0] = await Promise.all([
    keyed(at("memory.stat")),
    ...names.map((name) => number(at(name))),
  ]);
  const camel = (name: string) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const detail = Object.fromEntries(MEMORY_LINES.map((name) => [camel(name), stat.get(name) ?? 0]));
  return { ...detail, usage, usageLimit, swapUsage, swapLimit, maxUsage };
}

function eventsOf(events: Map<string, number>) {
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

function ioOf(content: string) {
  const usage = perDevice(content).map(({ major, minor, values }) => ({
    major,
    minor,
    rbytes: values.get("rbytes") ?? 0,
    wbytes: values.get("wbytes") ?? 0,
    rios: values.get("rios") ?? 0,
    wios: values.get("wios") ?? 0,
  }));
  return { usage };
}
