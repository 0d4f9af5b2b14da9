/** What a switchover will have to dump and restore, counted while the container runs. */
import { readFile } from "node:fs/promises";

export interface Burden {
  readonly processes: number;
  /** Of all processes. */
  readonly mappings: number;
  readonly pageTableBytes: number;
  /** Resident memory that no file holds. */
  readonly anonymousBytes: number;
}

export const PAGE_BYTES = 4096;

/** A container with more processes is judged by these. */
const LOOKED_AT = 128;
const AT_ONCE = 8;

/** Processes that end meanwhile are left out. Never rejects. */
export async function weigh(pids: readonly number[]): Promise<Burden> {
  const looked = pids.slice(0, LOOKED_AT);
  const found: Burden[] = [];
  for (let i = 0; i < looked.length; i += AT_ONCE)
    found.push(...(await Promise.all(looked.slice(i, i + AT_ONCE).map(weighOne))));
  const scale = looked.length > 0 ? pids.length / looked.length : 1;
  const sum = (of: (one: Burden) => number) =>
    Math.round(scale * found.reduce((total, one) => total + of(one), 0));
  return {
    processes: sum((one) => one.processes),
    mappings: sum((one) => one.mappings),
    pageTableBytes: sum((one) => one.pageTableBytes),
    anonymousBytes: sum((one) => one.anonymousBytes),
  };
}

/** Memory that travels in CRIU's images, as far as can be told: the engine knows so many pages of it. */
export function leftToCriu(burden: Burden, knownPages: number): number {
  return Math.max(0, burden.anonymousBytes - knownPages * PAGE_BYTES);
}

async function weighOne(pid: number): Promise<Burden> {
  try {
    const [maps, status] = await Promise.all([
      readFile(`/proc/${pid}/maps`),
      readFile(`/proc/${pid}/status`, "utf8"),
    ]);
    return {
      processes: 1,
      mappings: lines(maps),
      pageTableBytes: field(status, "VmPTE"),
      anonymousBytes: field(status, "RssAnon") + field(status, "RssShmem"),
    };
  } catch {
    return { processes: 0, mappings: 0, pageTableBytes: 0, anonymousBytes: 0 };
  }
}

function field(status: string, name: string): number {
  const [, kib = "0"] = new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(status) ?? [];
  return Number(kib) * 1024;
}

function lines(text: Buffer): number {
  let count = 0;
  for (let at = text.indexOf(10); at >= 0; at = text.indexOf(10, at + 1)) count++;
  return count;
}
