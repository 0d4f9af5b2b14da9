/** The containerd of the host that this program runs on: a host of the lab, where killing it harms nobody. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { until } from "./wait.js";

export const SOCKET = "/run/containerd/containerd.sock";
export const LOG = "/var/log/containerd.log";
const PID_FILE = "/run/lab/containerd.pid";
/** A shim without containers goes after twice this. */
const VACANCY_MS = 2500;
const READY_MS = 20_000;

/** @throws Error on a machine that is no host of the lab */
export function containerdPid(): number {
  const pid = Number(readFileSync(PID_FILE, "utf8"));
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`${PID_FILE} holds no pid`);
  return pid;
}

export async function killContainerd(): Promise<void> {
  const pid = containerdPid();
  process.kill(pid, "SIGKILL");
  await until("containerd is gone", () => !isAlive(pid));
}

/** @returns once it answers */
export async function startContainerd(): Promise<void> {
  const log = openSync(LOG, "a");
  const child = spawn("containerd", ["--config", "/etc/containerd/config.toml"], {
    detached: true,
    // Its shims inherit it.
    env: { ...process.env, PCLIVE_VACANCY_MS: String(VACANCY_MS) },
    stdio: ["ignore", log, log],
  });
  closeSync(log);
  child.unref();
  writeFileSync(PID_FILE, `${child.pid}\n`);
  await until("containerd answers", accepts, READY_MS);
}

export async function restartContainerd(): Promise<void> {
  await killContainerd();
  await startContainerd();
}

function accepts(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(SOCKET);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}

/** A zombie that its parent has not collected has ended as well. */
export function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
