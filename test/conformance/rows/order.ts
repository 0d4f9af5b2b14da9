/** Exits and the order of events. */
import { execFileSync } from "node:child_process";
import type { Spec } from "../bundle.js";
import { row } from "../row.js";
import type { Scene } from "../scene.js";

const SLEEP = ["sleep", "1000"];
const without = (type: string) => (spec: Spec) => {
  spec.linux.namespaces = spec.linux.namespaces.filter((namespace) => namespace.type !== type);
};

/** For each process whether its events came in order and once; for rows in which processes end in any order. */
function noteOrders(scene: Scene): void {
  const ids = new Map<string, string[]>();
  for (const { topic, message } of scene.events.seen) {
    const { id, execId, containerId } = message as { id?: string; execId?: string; containerId?: string };
    const name = scene.record.mask(execId || (topic === "/tasks/exit" ? id : "") || containerId || "");
    ids.set(name, [...(ids.get(name) ?? []), topic]);
  }
  const orders = new Map<string, number>();
  for (const topics of ids.values()) orders.set(topics.join(" "), (orders.get(topics.join(" ")) ?? 0) + 1);
  scene.note("orders", [...orders].map(([order, count]) => `${count} x ${order}`).sort());
}

async function noteLastExit(scene: Scene, count: number): Promise<void> {
  await scene.events.reached("/tasks/exit", count);
  const last = scene.events.seen.filter(({ topic }) => topic === "/tasks/exit").at(-1);
  scene.note("last exit", (last?.message as { id?: string } | undefined)?.id ?? "none");
  noteOrders(scene);
  scene.forgetEvents();
}

export const orderRows = [
  row("order: init that ends before Start has answered", async (scene) => {
    const c = await scene.container(["true"]);
    await c.create();
    const waiter = c.wait();
    await c.start();
    await waiter;
    await c.state();
  }),
  row("order: exec that ends at once, fifty times", async (scene) => {
    const c = await scene.running();
    const statuses: unknown[] = [];
    for (let round = 0; round < 50; round++) {
      const execId = `e${round}`;
      const spec = {
        args: ["sh", "-c", `exit ${round}`],
        cwd: "/",
        env: ["PATH=/bin"],
        user: { uid: 0, gid: 0 },
      };
      await c.shim.task.Exec({
        id: c.id,
        execId,
        spec: { type_url: "x", value: Buffer.from(JSON.stringify(spec)) },
      });
      await c.shim.task.Start({ id: c.id, execId });
      statuses.push((await c.shim.task.Wait({ id: c.id, execId })).exitStatus);
      await c.shim.task.Delete({ id: c.id, execId });
    }
    scene.note("statuses", statuses);
    await scene.events.reached("/tasks/exit", 50);
    noteOrders(scene);
    scene.forgetEvents();
  }),
  row("order: twenty execs at once", async (scene) => {
    const c = await scene.running();
    const ends = Array.from({ length: 20 }, async (_, index) => {
      const execId = `e${index}`;
      const spec = {
        args: ["sh", "-c", `exit ${index}`],
        cwd: "/",
        env: ["PATH=/bin"],
        user: { uid: 0, gid: 0 },
      };
      await c.shim.task.Exec({
        id: c.id,
        execId,
        spec: { type_url: "x", value: Buffer.from(JSON.stringify(spec)) },
      });
      await c.shim.task.Start({ id: c.id, execId });
      return (await c.shim.task.Wait({ id: c.id, execId })).exitStatus;
    });
    scene.note("statuses", await Promise.all(ends));
    await scene.events.reached("/tasks/exit", 20);
    noteOrders(scene);
    scene.forgetEvents();
  }),
  row("order: many execs die with init, init is told last", async (scene) => {
    const c = await scene.running();
    for (let index = 0; index < 8; index++) {
      await c.exec(`e${index}`, SLEEP);
      await c.start(`e${index}`);
    }
    await c.kill(9);
    await c.wait();
    const codes = await Promise.all(
      Array.from({ length: 8 }, (_, index) => c.shim.task.Wait({ id: c.id, execId: `e${index}` })),
    );
    scene.note(
      "statuses",
      codes.map(({ exitStatus }) => exitStatus),
    );
    await noteLastExit(scene, 9);
  }),
  row(
    "order: init in the host's pid namespace is told last too",
    async (scene) => {
      const c = await scene.running(["sh", "-c", "sleep 4321 & exec sleep 1000"], { spec: without("pid") });
      await c.exec("e", SLEEP);
      await c.start("e");
      await c.kill(9);
      await c.wait();
      await c.wait("e");
      await noteLastExit(scene, 2);
      scene.note("nothing runs on", aliveIn(c.id));
    },
    [
      {
        label: "last exit",
        stock: /^e$/,
        ours: /^c\d$/,
        generations: /^1\.6$/,
        reason: "clients rely on init's exit being the last; later stock shims tell it last",
      },
    ],
  ),
  row(
    "order: init in another container's pid namespace",
    async (scene) => {
      const first = await scene.container(SLEEP);
      const made = await first.create();
      await first.start();
      const join = (spec: Spec) => {
        without("pid")(spec);
        spec.linux.namespaces.push({ type: "pid", path: `/proc/${made?.pid}/ns/pid` });
      };
      const c = await scene.running(["sh", "-c", "sleep 4322 & exec sleep 1000"], { spec: join });
      await c.exec("e", SLEEP);
      await c.start("e");
      await c.kill(9);
      await c.wait();
      await c.wait("e");
      await noteLastExit(scene, 2);
      scene.note("nothing runs on", aliveIn(c.id));
      await first.state("", { as: "the other container" });
      await c.delete();
    },
    [
      {
        label: "last exit",
        stock: /^e$/,
        ours: /^c\d$/,
        generations: /^1\.6$/,
        reason: "clients rely on init's exit being the last; later stock shims tell it last",
      },
    ],
  ),
  row("order: init killed between create and start", async (scene) => {
    const c = await scene.container(SLEEP);
    const made = await c.create();
    process.kill(made?.pid ?? 0, "SIGKILL");
    await c.wait();
    await c.state();
    await c.start();
    await c.delete();
  }),
  row("order: orphans of an exec are reaped", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["sh", "-c", "sleep 0.1 & exit 0"]);
    await c.start("e");
    await c.wait("e");
    await c.delete("e");
    await c.state("", { as: "init" });
  }),
  row("order: killed for want of memory", async (scene) => {
    const limit = (spec: Spec) => {
      spec.linux.resources = { memory: { limit: 16 << 20, swap: 16 << 20 } };
    };
    const c = await scene.running(["sh", "-c", "x=x; while :; do x=$x$x; done"], { spec: limit });
    await c.wait();
    scene.note("told", await scene.events.reached("/tasks/oom", 1));
    scene.note("exit told", await scene.events.reached("/tasks/exit", 1));
    // How often, and whether before or after the exit, is the kernel's and the scheduler's business.
    scene.forgetEvents();
  }),
  row("order: pause and resume are told", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await c.resume();
    await c.kill(9);
    await c.wait();
  }),
];

/** Processes whose cgroup is that of the container. */
function aliveIn(id: string): boolean {
  const text = execFileSync("sh", ["-c", "cat /proc/[0-9]*/cgroup 2>/dev/null || true"], {
    encoding: "utf8",
  });
  return !text.includes(id);
}
