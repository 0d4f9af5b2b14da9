/** Figures of a container with every limit that this machine knows. */
import { readFileSync } from "node:fs";
import { io } from "#protos/metrics";
import type { ShimBench, Task } from "../integration/shim/bundle.js";
import { leave, make, outcome, printed, remove } from "./container.js";

const MiB = 1 << 20;

/** Uses processor, memory and processes, then says so. */
const WORK =
  "dd if=/dev/zero of=/tmp/f bs=1M count=20 2>/dev/null; sleep 1000 & i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo worked; sleep 1000";

export async function stats(bench: ShimBench): Promise<unknown> {
  const made = await make(bench, {
    args: ["/bin/sh", "-c", WORK],
    change: (spec) => {
      spec.linux.resources = limits();
    },
  });
  const { id, task } = made;
  const created = await figures(task, id);
  await task.Start({ id });
  await printed(made, "worked");
  const running = await figures(task, id);
  await task.Kill({ id, signal: 9 });
  await task.Wait({ id });
  const ended = await figures(task, id);
  await task.Delete({ id });
  const deleted = await outcome(task.Stats({ id }));
  await leave(made);
  return { created, running, ended, deleted };
}

/** Of a container without any limit. */
export async function statsUnlimited(bench: ShimBench): Promise<unknown> {
  const made = await make(bench, {
    args: ["/bin/sleep", "1000"],
    change: (spec) => {
      spec.linux.resources = {};
    },
  });
  await made.task.Start({ id: made.id });
  const running = await figures(made.task, made.id);
  await remove(made);
  return { running };
}

function limits() {
  const controllers = readFileSync("/proc/self/mountinfo", "utf8");
  const unified = / \/sys\/fs\/cgroup [^\n]* - cgroup2 /.test(controllers);
  return {
    memory: { limit: 64 * MiB, swap: 64 * MiB, reservation: 32 * MiB },
    cpu: { quota: 50_000, period: 100_000, shares: 512 },
    pids: { limit: 50 },
    ...(unified ? { hugepageLimits: [{ pageSize: "2MB", limit: 2 * MiB }] } : {}),
  };
}

/** The message as its type url and every field that is set, zeros left out as on the wire. */
async function figures(task: Task, id: string): Promise<unknown> {
  const any = (await task.Stats({ id })).stats;
  const type = any?.type_url ?? "";
  const { v1, v2 } = io.containerd.cgroups;
  const message = type.endsWith("v1.Metrics") ? v1.Metrics : v2.Metrics;
  return { type, metrics: plain(message.decode(any?.value ?? new Uint8Array())) };
}

function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== 0 && field !== "" && field !== null);
  return Object.fromEntries(entries.map(([name, field]) => [name, plain(field)]));
}
