/** What the host is like: its programs, their versions, what runs. Every question has an end. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { SHIM } from "./names.js";
import type { Root } from "./root.js";

/** Where daemons that systemd started look for programs. */
export const DAEMON_PATH = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
] as const;

const TIMEOUT_MS = 10_000;

/** The program as a daemon of the host would find it. */
export function findProgram(root: Root, name: string): string | undefined {
  return DAEMON_PATH.map((folder) => join(folder, name)).find((path) => root.exists(path));
}

/** Docker's major version, or undefined when its daemon cannot be asked. */
export function dockerMajor(root: Root, dockerd: string): number | undefined {
  const command: [string, ...string[]] = root.isHost
    ? [dockerd, "--version"]
    : ["chroot", root.folder, dockerd, "--version"];
  const major = /version v?(\d+)\./.exec(output(command) ?? "")?.[1];
  return major === undefined ? undefined : Number(major);
}

export function systemdRuns(root: Root): boolean {
  return root.isHost && existsSync("/run/systemd/system");
}

/** @returns whether it went well */
export function systemctl(...words: string[]): boolean {
  return output(["systemctl", ...words], 90_000) !== undefined;
}

/** Process ids of running shims of ours: each has a container. */
export function runningShims(root: Root): number[] {
  if (!root.isHost) return [];
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isShim(words(pid)));
}

/** A shim's own name is in its words, or that of its file; `-namespace` tells it from an editor of that file. */
function isShim(argv: readonly string[]): boolean {
  const ours = argv.some(
    (word) => word.endsWith(`/${SHIM}`) || word === SHIM || word.endsWith("/pclive/shim.js"),
  );
  return ours && argv.includes("-namespace");
}

function words(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return []; // it has ended
  }
}

function output([file, ...args]: readonly [string, ...string[]], timeout = TIMEOUT_MS): string | undefined {
  try {
    return execFileSync(file, args, { timeout, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    return undefined;
  }
}
