/** Pause, Resume, Update, ResizePty, CloseIO, Pids, Stats, Connect, Checkpoint, Shutdown. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { containerd } from "#protos/shim";
import { until } from "../../lib/until.js";
import { betterRow, row } from "../row.js";
import type { Scene } from "../scene.js";

const SLEEP = ["sleep", "1000"];
const { CheckpointOptions } = containerd.runc.v1;

function checkpointOptions(fields: containerd.runc.v1.CheckpointOptions.$Properties) {
  return {
    type_url: "containerd.runc.v1.CheckpointOptions",
    value: CheckpointOptions.encode(fields).finish(),
  };
}

async function shimGone(scene: Scene, pid: number): Promise<void> {
  const gone = await until(() => !existsSync(`/proc/${pid}`), 6000).then(
    () => true,
    () => false,
  );
  scene.note("shim is gone", gone);
}

export const controlRows = [
  row("pause: and resume", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await c.pause({ as: "pause of the paused" });
    await c.state();
    await c.pids();
    await c.stats();
    await c.update('{"pids":{"limit":60}}');
    await c.resume();
    await c.resume({ as: "resume of the running" });
    await c.state();
  }),
  row("pause: of the created", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.pause();
    await c.resume();
    await c.state();
  }),
  row("pause: of the stopped", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.pause();
    await c.resume();
  }),
  row("update: created, running, stopped", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.update('{"pids":{"limit":50}}', { as: "created" });
    await c.start();
    await c.update('{"memory":{"limit":67108864}}', { as: "running" });
    await c.kill(9);
    await c.wait();
    await c.update('{"pids":{"limit":50}}', { as: "stopped" });
  }),
  row("update: what is not right", async (scene) => {
    const c = await scene.running();
    await c.update("{ not", { as: "no JSON" });
    await c.update("[]", { as: "an array" });
    await c.update('{"memory":{"limit":"lots"}}', { as: "text for a number" });
    await c.update('{"memory":{"limit":4096}}', { as: "less than is in use" });
    await c.update("{}", { as: "nothing" });
    await c.state();
  }),
  betterRow(
    "update: without resources",
    async (scene) => {
      const c = await scene.running();
      await c.call("Update", { id: c.id });
      await c.state();
    },
    {
      stock: { "c1 Update": /^UNAVAILABLE/ },
      ours: { "c1 Update": /^INVALID_ARGUMENT/, "c1 State": /status=2/ },
      reason: "the stock shim crashes",
    },
  ),
  row("resize: without a terminal, in every status", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.resize(80, 25);
    await c.start();
    await c.resize(80, 25);
    await c.resize(0, 0);
    await c.resize(100000, 100000);
    await c.kill(9);
    await c.wait();
    await c.resize(80, 25);
  }),
  row("close stdin: twice, without stdin, after the end", async (scene) => {
    const c = await scene.container(["cat"]);
    await c.create();
    await c.closeStdin();
    await c.start();
    await c.closeStdin();
    await c.closeStdin();
    await c.wait();
    await c.closeStdin();
    await c.call("CloseIO", { id: c.id, stdin: false });
  }),
  row("pids: created, with execs, stopped", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.pids();
    await c.start();
    for (const each of ["e", "f"]) {
      await c.exec(each, SLEEP);
      await c.start(each);
    }
    await c.pids();
    await c.kill(9, "e");
    await c.wait("e");
    await c.pids();
    await c.kill(9);
    await c.wait();
    await c.pids();
  }),
  row("stats: in every status", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.stats();
    await c.start();
    await c.stats();
    await c.kill(9);
    await c.wait();
    await c.stats();
  }),
  row("stats: of a container to be restored", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create({ checkpoint: scene.path("none") });
    await c.stats();
    await c.pids();
    await c.kill(9);
    await c.pause();
    await c.update("{}");
    await c.call("Checkpoint", { id: c.id, path: scene.path("images") });
    await c.call("Connect", { id: c.id });
    await c.state();
    await c.delete();
  }),
  row("connect: in every status", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.call("Connect", { id: c.id });
    await c.create();
    await c.call("Connect", { id: c.id });
    await c.start();
    await c.call("Connect", { id: c.id });
    await c.call("Connect", { id: "nobody" });
    await c.call("Connect", { id: "" });
    await c.kill(9);
    await c.wait();
    await c.call("Connect", { id: c.id });
  }),
  row("checkpoint: of the created, of the stopped", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.call("Checkpoint", { id: c.id, path: scene.path("images") });
    await c.start();
    await c.kill(9);
    await c.wait();
    await c.call("Checkpoint", { id: c.id, path: scene.path("images") });
  }),
  betterRow(
    "checkpoint: without a path",
    async (scene) => {
      const c = await scene.running();
      await c.call("Checkpoint", { id: c.id, path: "" });
      await c.state();
    },
    {
      stock: {},
      ours: { "c1 Checkpoint": /^UNKNOWN/, "c1 State": /status=2/ },
      reason:
        "the stock shim lets runC write into the shim's working directory, where nobody looks, or end the task",
    },
  ),
  row("checkpoint: path that cannot be made", async (scene) => {
    const c = await scene.running();
    writeFileSync(scene.path("file"), "");
    await c.call("Checkpoint", { id: c.id, path: scene.path("file/images") });
    await c.state();
    scene.note("dump.log kept", existsSync(`${c.bundle}/criu-dump.log`));
  }),
  row("checkpoint: options of another type", async (scene) => {
    const c = await scene.running();
    const options = { type_url: "example.com/Unheard", value: new Uint8Array() };
    await c.call("Checkpoint", { id: c.id, path: scene.path("images"), options });
    await c.state();
  }),
  row(
    "checkpoint: options that cannot be decoded",
    async (scene) => {
      const c = await scene.running();
      const options = {
        type_url: "containerd.runc.v1.CheckpointOptions",
        value: Buffer.from("ffffff", "hex"),
      };
      await c.call("Checkpoint", { id: c.id, path: scene.path("images"), options });
      await c.state();
    },
    [
      {
        label: "c1 Checkpoint",
        stock: /^FAILED_PRECONDITION/,
        ours: /^UNKNOWN/,
        generations: /^1\.6$/,
        reason: "the code of later stock shims",
      },
    ],
  ),
  row("checkpoint: of a task with a terminal", async (scene) => {
    const c = await scene.container(SLEEP, {
      spec: (spec) => {
        spec.process.terminal = true;
      },
    });
    const stdout = scene.fifo("out");
    void scene.collect(stdout);
    await c.create({ terminal: true, stdout });
    await c.start();
    mkdirSync(scene.path("images"));
    await c.call("Checkpoint", {
      id: c.id,
      path: scene.path("images"),
      options: checkpointOptions({ exit: true }),
    });
    await c.wait();
    await c.state();
  }),
  row("shutdown: with a container", async (scene) => {
    const c = await scene.running();
    await c.shutdown();
    await c.call("Shutdown", { id: c.id, now: true });
    await c.state();
  }),
  row("shutdown: with a container that has ended", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.shutdown();
    await c.state();
  }),
  row(
    "shutdown: without containers",
    async (scene) => {
      const c = await scene.container(["true"]);
      await c.shutdown();
      await shimGone(scene, scene.shimPid(c));
    },
    [
      {
        label: "c1 Shutdown",
        stock: /^(ok|UNAVAILABLE)/,
        ours: /^ok$/,
        reason: "on a busy host the stock shim now and then is gone before it answers",
      },
    ],
  ),
  row("shutdown: after a failed create", async (scene) => {
    const c = await scene.container(["/no/such"]);
    await c.create();
    await c.delete();
    await c.shutdown();
    await shimGone(scene, scene.shimPid(c));
  }),
  betterRow(
    "shutdown: right after delete; all events have come",
    async (scene) => {
      const c = await scene.running(["true"]);
      await c.wait();
      await c.delete();
      await c.shutdown();
      await shimGone(scene, scene.shimPid(c));
    },
    {
      stock: { "shim is gone": /^true$/ },
      ours: { "shim is gone": /^true$/, "event 3": /^exit/, "event 4": /^delete/ },
      reason: "the stock shim may go before it has sent them",
    },
  ),
];
