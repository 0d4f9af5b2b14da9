/** Start, State, Kill, Wait and Delete of a container's init. */
import { until } from "../../lib/until.js";
import { row } from "../row.js";

export const initRows = [
  row("init: from create to delete", async (scene) => {
    const c = await scene.running(["sh", "-c", "exit 7"]);
    await c.wait();
    await c.state();
    await c.delete();
    await c.state("", { as: "state of the deleted" });
  }),
  row("init: state in every status", async (scene) => {
    const c = await scene.container(["sleep", "1000"]);
    await c.create();
    await c.state("", { as: "created" });
    await c.start();
    await c.state("", { as: "running" });
    await c.pause();
    await c.state("", { as: "paused" });
    await c.resume();
    await c.kill(9);
    await c.wait();
    await c.state("", { as: "stopped" });
  }),
  row("init: started twice", async (scene) => {
    const c = await scene.running();
    await c.start("", { as: "again" });
    await c.state();
  }),
  row("init: started after its end", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.start("", { as: "again" });
    await c.state();
  }),
  row("init: started while paused", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await c.start("", { as: "again" });
  }),
  row(
    "init: delete of the created",
    async (scene) => {
      const c = await scene.container(["sleep", "1000"]);
      await c.create();
      await c.delete();
      await c.state();
      await scene.noteTopics(3);
    },
    [
      {
        label: "left behind",
        stock: /^(cgroup of c1)?$/,
        ours: /^$/,
        reason: "on a busy host the stock shim now and then leaves the control group",
      },
    ],
  ),
  row("init: delete of the running", async (scene) => {
    const c = await scene.running();
    await c.delete();
    await c.state();
  }),
  row("init: delete of the paused", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await c.delete();
    await c.state();
  }),
  row("init: deleted twice", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.delete();
    await c.delete("", { as: "again" });
  }),
  row("init: two deletes at once", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    const codes = await Promise.all(
      [1, 2].map(() =>
        c.shim.task.Delete({ id: c.id }).then(
          () => "ok",
          (error: { code: number }) => error.code,
        ),
      ),
    );
    scene.note("answers", codes.map(String).sort());
    // The one that fails may be answered last, and the other one's event come after that.
    await until(() => scene.events.count("/tasks/delete") > 0, 2000).catch(() => {});
  }),
  row("init: delete with an exec that runs", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["sleep", "1000"]);
    await c.start("e");
    await c.kill(9);
    await c.wait();
    await c.delete();
  }),
  row("init: every call for a container that is not there", async (scene) => {
    const c = await scene.container(["true"]);
    const id = "nobody";
    await c.call("State", { id });
    await c.call("Start", { id });
    await c.call("Kill", { id, signal: 9 });
    await c.call("Wait", { id });
    await c.call("Delete", { id });
    await c.call("Pids", { id });
    await c.call("Pause", { id });
    await c.call("Resume", { id });
    await c.call("Update", { id });
    await c.call("Stats", { id });
    await c.call("ResizePty", { id });
    await c.call("CloseIO", { id, stdin: true });
    await c.call("Checkpoint", { id, path: "/tmp" });
    await c.call("Exec", { id, execId: "e" });
    await c.call("Connect", { id });
  }),
  row("init: every call before create, with the shim's own id", async (scene) => {
    const c = await scene.container(["true"]);
    await c.state("", { says: /not created/ });
    await c.start("", { says: /not created/ });
    await c.kill(9);
    await c.delete();
    await c.wait();
    await c.call("Connect", { id: c.id });
  }),
  row("kill: signals 0, 15 and 9", async (scene) => {
    const c = await scene.running(["sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"]);
    await c.kill(0);
    await c.kill(15);
    await c.wait();
    await c.state();
  }),
  row("kill: 9", async (scene) => {
    const c = await scene.running();
    await c.kill(9);
    await c.wait();
  }),
  row("kill: signals that do not exist", async (scene) => {
    const c = await scene.running();
    await c.kill(65);
    await c.kill(1000);
    await c.kill(0xffffffff);
    await c.state();
  }),
  row("kill: a signal of a name with two numbers (SIGRTMIN+1)", async (scene) => {
    const c = await scene.running(["sh", "-c", "exec sleep 1000"]);
    await c.kill(35);
    await c.wait();
  }),
  row("kill: the created", async (scene) => {
    const c = await scene.container(["sleep", "1000"]);
    await c.create();
    await c.kill(9);
    await c.wait();
    await c.state();
    await c.start("", { as: "start of the killed" });
  }),
  row("kill: the created, by 15", async (scene) => {
    const c = await scene.container(["sleep", "1000"]);
    await c.create();
    await c.kill(15);
    await c.wait();
    await c.state();
  }),
  row("kill: the stopped", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.kill(9, "", { says: /process already finished|container not running/ });
    await c.kill(15);
    await c.kill(0);
  }),
  row("kill: all of the stopped", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.killAll(9);
  }),
  row("kill: all", async (scene) => {
    const c = await scene.running(["sh", "-c", "sleep 1000 & wait"]);
    await c.exec("e", ["sleep", "1000"]);
    await c.start("e");
    await c.killAll(9);
    await c.wait();
    await c.wait("e");
  }),
  row("kill: all of the created", async (scene) => {
    const c = await scene.container(["sleep", "1000"]);
    await c.create();
    await c.killAll(9);
    await c.wait();
  }),
  row("kill: the paused", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await c.kill(9);
    await c.blocked("wait while paused", c.shim.task.Wait({ id: c.id }));
    await c.state();
    await c.resume();
    await c.wait();
  }),
  row("kill: from outside of the shim", async (scene) => {
    const c = await scene.container(["sleep", "1000"]);
    await c.create();
    const started = await c.start();
    process.kill(started?.pid ?? 0, "SIGKILL");
    await c.wait();
    await c.state();
    await c.kill(9);
  }),
  row("wait: before start, many, and after the end", async (scene) => {
    const c = await scene.container(["sh", "-c", "exit 5"]);
    await c.create();
    await c.blocked("before start", c.shim.task.Wait({ id: c.id }));
    const waiters = [1, 2, 3, 4, 5].map((each) => c.wait("", { as: `waiter ${each}` }));
    await c.start();
    await Promise.all(waiters);
    await c.wait("", { as: "after the end" });
    await c.delete();
    await c.wait("", { as: "after delete" });
  }),
  row("wait: same end for Wait, State, Delete and the event", async (scene) => {
    const c = await scene.running(["sh", "-c", "exit 5"]);
    const waited = await c.wait();
    const state = await c.state();
    const deleted = await c.delete();
    const times = [waited, state, deleted].map((each) => JSON.stringify(each?.exitedAt));
    scene.note("one time", new Set(times).size);
  }),
  row("wait: a client that leaves", async (scene) => {
    const c = await scene.running();
    const waiter = await scene.another(c);
    const wait = waiter.task.Wait({ id: c.id }).catch(() => {});
    waiter.client.close();
    await wait;
    await c.state();
    await c.kill(9);
    await c.wait();
  }),
  row("exit: status of a signal that the process sent itself", async (scene) => {
    const c = await scene.running(["sh", "-c", "kill -SEGV $$; sleep 5"]);
    await c.exec("never", ["true"]);
    await c.wait();
  }),
  row("exit: status 255", async (scene) => {
    const c = await scene.running(["sh", "-c", "exit 255"]);
    await c.wait();
  }),
];
