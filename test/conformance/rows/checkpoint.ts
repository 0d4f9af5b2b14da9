/** Checkpoint and restore, with the same CRIU for both shims. */
import { closeSync, constants, existsSync, mkdirSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import { until } from "../../lib/until.js";
import type { Container } from "../container.js";
import { row } from "../row.js";
import type { Scene } from "../scene.js";

/** No process is born while CRIU looks: it would sometimes fail on one, for either shim. */
const COUNTER = ["sh", "-c", "sleep 1000 | while :; do read -t 0.05 x; i=$((i+1)); echo $i; done"];
const { CheckpointOptions } = containerd.runc.v1;

function take(c: Container, path: string, options: containerd.runc.v1.CheckpointOptions.$Properties) {
  const value = CheckpointOptions.encode(options).finish();
  const any = { type_url: "containerd.runc.v1.CheckpointOptions", value };
  return c.call("Checkpoint", { id: c.id, path, options: any });
}

async function counter(scene: Scene): Promise<Container> {
  const c = await scene.container(COUNTER);
  await c.create(scene.file("numbers"));
  await c.start();
  await scene.text(scene.path("numbers"), 8);
  return c;
}

/** Whether somebody has a fifo open for reading. */
function isOpened(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return true;
  } catch {
    return false;
  }
}

function images(scene: Scene): string {
  mkdirSync(scene.path("images"));
  return scene.path("images");
}

export const checkpointRows = [
  row("checkpoint: task goes on", async (scene) => {
    const c = await counter(scene);
    await take(c, images(scene), {});
    await c.state();
    scene.note(
      "images",
      readdirSync(scene.path("images")).filter((name) => name === "inventory.img"),
    );
    scene.note("work folder is left", existsSync(join(c.bundle, "work", "criu-work")));
    const before = (await scene.text(scene.path("numbers"))).length;
    scene.note("goes on", (await scene.text(scene.path("numbers"), before + 8)).length > before);
  }),
  row("checkpoint: while paused", async (scene) => {
    const c = await counter(scene);
    await c.pause();
    await take(c, images(scene), {});
    await c.state();
    await c.resume();
    await c.state("", { as: "state after resume" });
  }),
  row("checkpoint: with exit, work folder of the client", async (scene) => {
    const c = await counter(scene);
    mkdirSync(scene.path("work"));
    await take(c, images(scene), { exit: true, workPath: scene.path("work") });
    await c.wait();
    await c.state();
    scene.note("log", existsSync(scene.path("work/dump.log")));
    await c.delete();
  }),
  row("checkpoint: into a path that is not there yet", async (scene) => {
    const c = await counter(scene);
    await take(c, scene.path("new/images"), {});
    scene.note("images", existsSync(scene.path("new/images/inventory.img")));
    await c.state();
  }),
  row("checkpoint: restored where it ended", async (scene) => {
    const first = await counter(scene);
    await take(first, images(scene), { exit: true });
    await first.wait();
    await first.delete();
    const numbers = (await scene.text(scene.path("numbers"))).trim().split("\n");
    const c = await scene.container(COUNTER);
    await c.create({ ...scene.file("restored"), checkpoint: scene.path("images") });
    await c.state();
    await c.start();
    await c.state("", { as: "state of the restored" });
    const [next] = (await scene.text(scene.path("restored"), 8)).split("\n");
    scene.note("goes on", Number(next) === Number(numbers.at(-1)) + 1);
    await c.exec("e", ["true"]);
    await c.start("e");
    await c.wait("e");
    await c.pids();
    await c.pause();
    await c.resume();
    await c.kill(9);
    await c.wait();
  }),
  row("checkpoint: to be restored, and deleted instead", async (scene) => {
    const first = await counter(scene);
    await take(first, images(scene), { exit: true });
    await first.wait();
    await first.delete();
    const c = await scene.container(COUNTER);
    const [stdin, stdout, stderr] = [scene.fifo("in"), scene.fifo("out"), scene.fifo("err")];
    await c.create({ stdin, stdout, stderr, checkpoint: scene.path("images") });
    // Who has opened them keeps a client waiting for their end.
    scene.note("fifos opened", [stdin, stdout, stderr].map(isOpened));
    await c.state();
    await c.pids();
    await c.exec("e", ["true"]);
    await c.pause();
    await c.kill(9);
    await c.blocked("wait", c.shim.task.Wait({ id: c.id }));
    await c.closeStdin();
    await c.delete();
    await c.state("", { as: "state of the deleted" });
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("checkpoint: to be restored from nothing", async (scene) => {
    const c = await scene.container(COUNTER);
    const [stdout, stderr] = [scene.fifo("out"), scene.fifo("err")];
    await c.create({ stdout, stderr, checkpoint: images(scene) });
    await c.start();
    scene.note("fifos opened", [stdout, stderr].map(isOpened));
    await c.state();
    await c.delete();
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("checkpoint: of a task that runs an exec", async (scene) => {
    const c = await counter(scene);
    await c.exec("e", ["sleep", "1000"]);
    await c.start("e");
    await take(c, images(scene), { exit: true });
    // The answer does not wait for the shim to have seen the ends.
    await until(() => scene.events.count("/tasks/exit") > 1, 2000).catch(() => {});
    await c.state();
    await c.state("e");
  }),
];
