/** The text formats of cgroup files, read without failing: a controller may be absent. */
import { readFile } from "node:fs/promises";

/** "max": the greatest number that is both exact here and fits 64 bits. */
export const UNLIMITED = 2 ** 64 - 2048;

/** 0 when the file is missing. */
export async function number(path: string): Promise<number> {
  return numberIn(await text(path));
}

/** Lines of "key value". */
export async function keyed(path: string): Promise<Map<string, number>> {
  return keyedIn(await text(path));
}

export async function text(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}

export function numberIn(content: string): number {
  const word = content.trim();
  if (word === "max") return UNLIMITED;
  const value = Number(word);
  return Number.isFinite(value) && value >= 0 ? value : 0;
}

export function keyedIn(content: string): Map<string, number> {
  const pairs = content.split("\n").map((line) => line.split(" "));
  return new Map(
    pairs.filter((pair) => pair.length === 2).map(([key = "", value = ""]) => [key, numberIn(value)]),
  );
}

export interface DeviceValue {
  readonly major: number;
  readonly minor: number;
  readonly op: string;
  readonly value: number;
}

/** Lines of "8:0 Read 123" (v1). The totals at the end are left out. */
export function perOperation(content: string): DeviceValue[] {
  return content.split("\n").flatMap((line) => {
    const [, major, minor, op = "", value] = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line) ?? [];
    return major === undefined
      ? []
      : [{ major: Number(major), minor: Number(minor), op, value: Number(value) }];
  });
}

/** Lines of "8:0 rbytes=1 wbytes=2 …" (v2). */
export function perDevice(content: string): { major: number; minor: number; values: Map<string, number> }[] {
  return content.split("\n").flatMap((line) => {
    const [device = "", ...words] = line.split(" ");
    const [, major, minor] = /^(\d+):(\d+)$/.exec(device) ?? [];
    if (major === undefined) return [];
    const pairs = words.map((word) => word.split("="));
    const values = new Map(pairs.map(([key = "", value = ""]) => [key, numberIn(value)]));
    return [{ major: Number(major), minor: Number(minor), values }];
  });
}
