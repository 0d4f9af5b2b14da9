/** What runC prints, checked before use. */
import { RuncError } from "./errors.js";

export type RuncStatus = "creating" | "created" | "running" | "pausing" | "paused" | "stopped";

export interface RuncState {
  readonly id: string;
  /** 0 when stopped. */
  readonly pid: number;
  readonly status: RuncStatus;
  readonly bundle: string;
  readonly rootfs: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** `runc features`, of which only a few fields are read; the rest is handed on as it is. */
export interface RuncFeatures {
  readonly ociVersionMin?: string;
  readonly ociVersionMax?: string;
  readonly [key: string]: unknown;
}

const STATUSES: readonly string[] = ["creating", "created", "running", "pausing", "paused", "stopped"];

export function parseState(command: string, text: string): RuncState {
  return stateOf(command, parse(command, text));
}

export function parseList(command: string, text: string): RuncState[] {
  const value = parse(command, text);
  if (value === null) return []; // an empty list is printed as null
  if (!Array.isArray(value)) throw unreadable(command, "not an array");
  return value.map((entry) => stateOf(command, entry));
}

/** `runc ps --format json`: pids, null for none. */
export function parsePids(command: string, text: string): number[] {
  const value = parse(command, text);
  if (value === null) return [];
  if (!Array.isArray(value) || !value.every(isPid)) throw unreadable(command, "not an array of pids");
  return value;
}

export function parseFeatures(command: string, text: string): RuncFeatures {
  return record(command, parse(command, text));
}

/** A pid file: digits, written at once by runC. */
export function parsePidFile(text: string): number | undefined {
  const pid = /^\d{1,10}\s*$/.test(text) ? Number(text) : Number.NaN;
  return isPid(pid) ? pid : undefined;
}

function stateOf(command: string, value: unknown): RuncState {
  const state = record(command, value);
  const { id, pid, status, bundle, rootfs, annotations } = state;
  if (typeof id !== "string" || typeof bundle !== "string") throw unreadable(command, "no id or bundle");
  if (typeof status !== "string" || !STATUSES.includes(status)) throw unreadable(command, "unknown status");
  if (pid !== undefined && pid !== 0 && !isPid(pid)) throw unreadable(command, "pid is no number");
  return {
    id,
    bundle,
    pid: pid ?? 0,
    status: status as RuncStatus,
    rootfs: typeof rootfs === "string" ? rootfs : "",
    annotations: strings(annotations),
  };
}

function strings(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

function isPid(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0;
}

function record(command: string, value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw unreadable(command, "not an object");
  return value as Record<string, unknown>;
}

function parse(command: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw unreadable(command, "not JSON", cause);
  }
}

function unreadable(command: string, what: string, cause?: unknown): RuncError {
  return new RuncError("RUNC_OUTPUT", `runc ${command} answered what cannot be read: ${what}`, {
    command,
    cause,
  });
}
