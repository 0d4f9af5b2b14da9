/** Out of memory: how often, and when, containerd hears of it. */
import { execFileSync } from "node:child_process";
import { readdirSync, readlinkSync } from "node:fs";
import { containerd } from "#protos/shim";
import { type ShimBench, until } from "../integration/shim/bundle.js";
import { type Made, make, printed, remove, unmountLeft } from "./container.js";

const MiB = 1 << 20;
const HOG = "x=x; while :; do x=$x$x; done";

const hungry = (bench: ShimBench, script: string, group = "") =>
  make(bench, {
    args: ["/bin/sh", "-c", script],
    change: (spec) => {
      spec.linux.resources = { memory: { limit: 16 * MiB, swap: 16 * MiB } };
      if (group) spec.annotations = { "io.containerd.runc.v2.group": group };
    },
  });

/** The kernel kills init. */
export async function oomOfInit(bench: ShimBench): Promise<unknown> {
  const made = await hungry(bench, HOG);
  await made.task.Start({ id: made.id });
  const { exitStatus } = await made.task.Wait({ id: made.id });
  await until(() => bench.topics().includes("/tasks/exit") && oomsOf(bench, made.id) > 0);
  await remove(made);
  return { exitStatus, ooms: oomsOf(bench, made.id) };
}

/** The kernel kills two children, one after the other; init lives on. */
export async function oomOfChildren(bench: ShimBench): Promise<unknown> {
  const script = `sh -c '${HOG}'; echo one; sleep 1; sh -c '${HOG}'; echo two; sleep 1000`;
  const made = await hungry(bench, script);
  await made.task.Start({ id: made.id });
  await printed(made, "one");
  await until(() => oomsOf(bench, made.id) === 1);
  await printed(made, "two");
  await until(() => oomsOf(bench, made.id) === 2);
  await remove(made);
  return { ooms: oomsOf(bench, made.id) };
}

/** Several containers in one shim: each event names the right one; nothing stays behind. */
export async function oomInGroup(bench: ShimBench): Promise<unknown> {
  const group = `g${process.pid}`;
  const calm = await hungry(bench, "sleep 1000", group);
  await calm.task.Start({ id: calm.id });
  const { shimPid } = await calm.task.Connect({ id: calm.id });
  const before = watches(shimPid);
  const others: Made[] = [];
  // One after the other: the kernel may tell twice of one that takes long to die, as several at once do.
  for (const seconds of [0.2, 0.7, 1.2]) others.push(await hungry(bench, `sleep ${seconds}; ${HOG}`, group));
  for (const { id, task } of others) await task.Start({ id });
  for (const { id, task } of others) await task.Wait({ id });
  await until(() => others.every(({ id }) => oomsOf(bench, id) > 0));
  for (const { id, task } of others) await task.Delete({ id });
  others.forEach(unmountLeft);
  const ooms = others.map(({ id }) => oomsOf(bench, id));
  await until(() => watches(shimPid) <= before);
  await remove(calm);
  return { ooms, calm: oomsOf(bench, calm.id) };
}

/** Many containers come and go in one shim: its descriptors must not grow. */
export async function oomWatchesEnd(bench: ShimBench): Promise<unknown> {
  const group = `g${process.pid}`;
  const calm = await hungry(bench, "sleep 1000", group);
  await calm.task.Start({ id: calm.id });
  const { shimPid } = await calm.task.Connect({ id: calm.id });
  const counts: number[] = [];
  for (let round = 0; round < 6; round++) {
    const made = await hungry(bench, "true", group);
    await made.task.Start({ id: made.id });
    await made.task.Wait({ id: made.id });
    await made.task.Delete({ id: made.id });
    unmountLeft(made);
    counts.push(watches(shimPid));
  }
  await remove(calm);
  return { grown: Math.max(...counts.slice(1)) > (counts[0] ?? 0) };
}

/** Descriptors of the kinds that notice memory events, and cgroup files held open. */
function watches(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  const inotify = Number(
    execFileSync("sh", ["-c", `cat ${folder}info/* 2>/dev/null | grep -c '^inotify wd' || true`], {
      encoding: "utf8",
    }),
  );
  const open = readdirSync(folder).map((fd) => {
    try {
      return readlinkSync(`${folder}/${fd}`);
    } catch {
      return "";
    }
  });
  return inotify + open.filter((path) => path.includes("[eventfd]") || path.includes("/cgroup/")).length;
}

function oomsOf(bench: ShimBench, id: string): number {
  const { TaskOOM } = containerd.events;
  return bench.events.filter(
    ({ topic, bytes }) => topic === "/tasks/oom" && TaskOOM.decode(bytes).containerId === id,
  ).length;
}
