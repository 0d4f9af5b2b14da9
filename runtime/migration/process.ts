/** Processes, told apart by pid and start time: a pid alone may have been given to another. */
import { readdirSync, readFileSync } from "node:fs";
import { until } from "./deadline.js";

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, field 22 of /proc/PID/stat. */
  readonly startTime: string;
}

interface Stat extends ProcessIdentity {
  readonly state: string;
  readonly parent: number;
  readonly group: number;
}

/** @returns undefined when there is no such process */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readStat(pid);
  return stat && { pid: stat.pid, startTime: stat.startTime };
}

/** This process. */
export function self(): ProcessIdentity {
  return identify(process.pid) ?? { pid: process.pid, startTime: "0" };
}

/** Whether it is still the same process and not a zombie. */
export function isAlive(identity: ProcessIdentity): boolean {
  const stat = readStat(identity.pid);
  return (
    stat !== undefined && stat.startTime === identity.startTime && stat.state !== "Z" && stat.state !== "X"
  );
}

/** `pid` and all that descends from it at this moment. */
export function family(pid: number): ProcessIdentity[] {
  const all = allStats();
  const found: Stat[] = all.filter((stat) => stat.pid === pid);
  for (let i = 0; i < found.length; i++) {
    const parent = found[i];
    found.push(...all.filter((stat) => stat.parent === parent?.pid));
  }
  return found;
}

/** Members of a process group, zombies left out. */
export function groupMembers(group: number): ProcessIdentity[] {
  return allStats().filter((stat) => stat.group === group && stat.state !== "Z");
}

/** SIGKILL to those that are still the same; waits until they are gone. False when some are not. */
export async function killAll(processes: readonly ProcessIdentity[], waitMs: number): Promise<boolean> {
  for (const one of processes) {
    if (!isAlive(one)) continue;
    try {
      process.kill(one.pid, "SIGKILL");
    } catch {
      // gone since we looked
    }
  }
  return until(waitMs, 5, () => !processes.some(isAlive));
}

/** The pid of the process that traces `pid`; 0 when none does or it is gone. */
export function tracerOf(pid: number): number {
  try {
    return Number(/^TracerPid:\s*([0-9]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Resident memory of a process in bytes; 0 when it is gone. */
export function residentBytes(pid: number): number {
  try {
    return (
      Number(/^VmRSS:\s*([0-9]+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024
    );
  } catch {
    return 0;
  }
}

function allStats(): Stat[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name) => readStat(Number(name)) ?? []);
}

function readStat(pid: number): Stat | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The command stands in parentheses and may hold anything, parentheses and blanks included.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, parent, group] = fields;
  const startTime = fields[19];
  if (!state || !startTime) return undefined;
  return { pid, state, parent: Number(parent), group: Number(group), startTime };
}
