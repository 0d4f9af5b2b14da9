/**
 * One lab for all end-to-end tests of a run; what a test needs of every other.
 */
import assert from "node:assert/strict";
import { Lab } from "../lab/lab.js";

let shared: Promise<Lab> | undefined;

/**
 * The lab, started at the first use and left up: the runner takes it down. What LAB_COMMAND names in its place is up
 * already.
 */
export function theLab(): Promise<Lab> {
  shared ??= process.env.LAB_COMMAND === undefined ? Lab.up() : Promise.resolve(new Lab());
  return shared;
}

let lastAddress = 0;

/** An address that no container of this run has had. */
export function freshAddress(): string {
  lastAddress++;
  return `10.10.${10 + (lastAddress >> 7)}.${1 + (lastAddress & 127)}`;
}

const LEFTOVERS = [
  "ctr task ls -q",
  "ctr container ls -q",
  "ip netns list",
  "ls /run/pclive/m 2>/dev/null",
  // brackets, so that the pattern does not find itself
  "pgrep -fa '[p]clive-engine|[c]riu(:| swrk)|[r]unc .*(restore|checkpoint)'",
  "grep -o '[^ ]*criu.cgyard[^ ]*' /proc/mounts",
  "ip -br link | grep -o '^v[^ ]*'",
].join("; ");

/** What a container, or a migration that ended, may have left on a host: one line each. */
export async function leftovers(lab: Lab, host: string): Promise<string[]> {
  const { stdout } = await lab.exec(host, ["sh", "-c", `${LEFTOVERS}; true`]);
  return stdout.split("\n").filter((line) => line.trim() !== "");
}

/** Waits until `host` holds nothing of any container or migration. */
export async function assertEmpty(lab: Lab, host: string, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const left = await leftovers(lab, host);
    if (left.length === 0) return;
    if (Date.now() > deadline) assert.fail(`left on host ${host}: ${left.join(" | ")}`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

/** The container's task runs on `host`, by containerd's word. */
export async function assertRuns(lab: Lab, host: string, id: string): Promise<void> {
  const { stdout } = await lab.exec(host, ["ctr", "task", "ls"]);
  const line = stdout.split("\n").find((row) => row.startsWith(`${id} `));
  assert.match(line ?? "(not there)", /RUNNING/, `${id} on host ${host}: ${line ?? "no task"}`);
}
