/** The text formats of cgroup files, read without failing: a controller may be absent. */
import { readFile } from "node:fs/promises";

/**
 * A counter of the kernel. One above 2^53 is held as protobuf's two halves, which it takes for a number,
 * so that no digit is lost; counters are only handed on, never calculated with.
 */
export type Counter = number;

const MAX_UINT64 = 2n ** 64n - 1n;

/** What version 2 calls "max", as containerd tells it. */
export const UNLIMITED = counter(MAX_UINT64);

/** 0 when the file is missing. */
export async function number(path: string): Promise<Counter> {
  return numberIn(await text(path));
}

/** Lines of "key value". */
export async function keyed(path: string): Promise<Map<string, Counter>> {
  return keyedIn(await text(path));
}

export async function text(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

/** Negative numbers and nonsense are 0. */
export function numberIn(content: string): Counter {
  const word = content.trim();
  if (word === "max") return UNLIMITED;
  if (!/^\d{1,20}$/.test(word)) return 0;
  const value = Number(word);
  return Number.isSafeInteger(value) ? value : counter(BigInt(word));
}

function counter(value: bigint): Counter {
  const exact = value > MAX_UINT64 ? MAX_UINT64 : value;
  const halves = { low: Number(exact & 0xffffffffn), high: Number(exact >> 32n), unsigned: true };
  return halves as unknown as Counter;
}

export function keyedIn(content: string): Map<string, Counter> {
  const pairs = content.split("\n").map((line) => line.split(" "));
  return new Map(
    pairs.filter((pair) => pair.length === 2).map(([key = "", value = ""]) => [key, numberIn(value)]),
  );
}

export interface DeviceValue {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: Counter;
}

/** Lines of "8:0 Read 123" or "8:0 123" (v1). The totals at the end are left out. */
export function perOperation(content: string): DeviceValue[] {
  return content.split("\n").flatMap((line) => {
    const [, major, minor, op = "", value = ""] = /^(\d+):(\d+)(?: (\w+))? (\d+)$/.exec(line) ?? [];
    return major === undefined
      ? []
      : [{ major: Number(major), minor: Number(minor), op, value: numberIn(value) }];
  });
}

/** Lines of "8:0 rbytes=1 wbytes=2 …" (v2). A device of which the kernel tells nothing is left out. */
export function perDevice(content: string): { major: number; minor: number; values: Map<string, Counter> }[] {
  return content.split("\n").flatMap((line) => {
    const [device = "", ...words] = line.split(" ");
    const [, major, minor] = /^(\d+):(\d+)$/.exec(device) ?? [];
    if (major === undefined || words.length === 0) return [];
    return [{ major: Number(major), minor: Number(minor), values: assignments(words) }];
  });
}

/** A device of RDMA and what is used of it, or may be. */
export interface RdmaValue {
  readonly device: string;
  readonly hcaHandles: number;
  readonly hcaObjects: number;
}

const UNLIMITED_UINT32 = 2 ** 32 - 1;

/** Lines of "mlx4_0 hca_handle=2 hca_object=max". */
export function rdmaValues(content: string): RdmaValue[] {
  return content.split("\n").flatMap((line) => {
    const [device = "", ...words] = line.trim().split(/\s+/);
    if (words.length !== 2) return [];
    const values = assignments(words);
    const of = (name: string) => {
      const value = values.get(name) ?? 0;
      return value === UNLIMITED ? UNLIMITED_UINT32 : value;
    };
    return [{ device, hcaHandles: of("hca_handle"), hcaObjects: of("hca_object") }];
  });
}

interface Pressure {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: Counter;
}

/**
 * Lines of "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and the same of "full".
 * @returns null when the kernel does not measure pressure
 */
export function pressure(content: string): { some: Pressure | null; full: Pressure | null } | null {
  if (content === "") return null;
  const of = (kind: string): Pressure | null => {
    const line = content.split("\n").find((each) => each.startsWith(`${kind} `));
    if (line === undefined) return null;
    const value = (name: string) => new RegExp(` ${name}=([\\d.]+)`).exec(line)?.[1] ?? "";
    return {
      avg10: Number(value("avg10")),
      avg60: Number(value("avg60")),
      avg300: Number(value("avg300")),
      total: numberIn(value("total")),
    };
  };
  return { some: of("some"), full: of("full") };
}

function assignments(words: readonly string[]): Map<string, Counter> {
  const pairs = words.map((word) => word.split("="));
  return new Map(pairs.map(([key = "", value = ""]) => [key, numberIn(value)]));
}
