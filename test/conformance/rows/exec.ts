/** Processes added to a container. */
import { betterRow, row } from "../row.js";

const SLEEP = ["sleep", "1000"];

export const execRows = [
  row("exec: from exec to delete", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["sh", "-c", "exit 9"]);
    await c.state("e", { as: "state before start" });
    await c.start("e");
    await c.wait("e");
    await c.state("e", { as: "state after the end" });
    await c.delete("e");
    await c.state("e", { as: "state after delete" });
  }),
  row("exec: running, with stdio in its state", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["sh", "-c", "echo said; exec sleep 1000"], scene.file("out"));
    await c.start("e");
    await c.state("e");
    scene.note("output", await scene.text(scene.path("out")));
    await c.kill(15, "e");
    await c.wait("e");
  }),
  row("exec: never started", async (scene) => {
    const c = await scene.running();
    await c.exec("e", SLEEP);
    await c.state("e");
    await c.kill(9, "e");
    await c.resize(80, 25, "e");
    await c.closeStdin("e");
    await c.blocked("wait", c.shim.task.Wait({ id: c.id, execId: "e" }));
    await c.pids();
    await c.delete("e");
    await c.state("e", { as: "state after delete" });
  }),
  row(
    "exec: never started, its waiters when init ends",
    async (scene) => {
      const c = await scene.running();
      await c.exec("e", SLEEP);
      await c.kill(9);
      await c.wait();
      await c.state("e");
      await c.start("e");
      await c.delete("e");
    },
    [
      {
        label: "c1/e Start",
        stock: /^UNKNOWN/,
        ours: /^FAILED_PRECONDITION/,
        generations: /^1\.6$/,
        reason: "the code of later stock shims",
      },
    ],
  ),
  row("exec: an id twice", async (scene) => {
    const c = await scene.running();
    await c.exec("e", SLEEP);
    await c.exec("e", ["true"], {}, { as: "again" });
    await c.start("e");
    await c.exec("e", ["true"], {}, { as: "while it runs" });
    await c.kill(9, "e");
    await c.wait("e");
    await c.exec("e", ["true"], {}, { as: "after its end" });
    await c.delete("e");
    await c.exec("e", ["true"], {}, { as: "after its delete" });
    await c.start("e", { as: "start after its delete" });
    await c.wait("e", { as: "wait after its delete" });
  }),
  row("exec: with the id of the container", async (scene) => {
    const c = await scene.running();
    await c.exec(c.id, ["true"]);
    await c.start(c.id);
    await c.wait(c.id);
  }),
  betterRow(
    "exec: started twice",
    async (scene) => {
      const c = await scene.running();
      await c.exec("e", SLEEP);
      await c.start("e");
      await c.start("e", { as: "again" });
      await c.kill(9, "e");
      await c.wait("e");
      await c.state();
    },
    {
      stock: { again: /^UNKNOWN/ },
      ours: { again: /^UNKNOWN/, "c1/e Wait": /exitStatus=137/, "c1 State": /status=2/, "left behind": /^$/ },
      reason: "later stock shims crash when the process ends",
    },
  ),
  row("exec: of a program that is missing", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["/no/such"]);
    const waiter = c.wait("e", { as: "waiter from before" });
    await c.start("e", { says: /OCI runtime exec failed: .*no such file/ });
    await waiter;
    await c.wait("e", { as: "wait afterwards" });
    await c.state("e");
    await c.kill(9, "e");
    await c.delete("e");
    await c.state("", { as: "init" });
  }),
  betterRow(
    "exec: started again after it could not be",
    async (scene) => {
      const c = await scene.running();
      await c.exec("e", ["/no/such"]);
      await c.start("e");
      await c.start("e", { as: "again", says: /no such file/ });
      await c.delete("e");
      await c.state();
    },
    {
      stock: { again: /^UNAVAILABLE/ },
      ours: { again: /^UNKNOWN, says/, "c1/e Delete": /^ok$/, "c1 State": /status=2/ },
      reason: "the stock shim crashes",
    },
  ),
  betterRow(
    "exec: started again after its end",
    async (scene) => {
      const c = await scene.running();
      await c.exec("e", ["true"]);
      await c.start("e");
      await c.wait("e");
      await c.start("e", { as: "again" });
      await c.state();
    },
    {
      stock: { again: /^(UNKNOWN|UNAVAILABLE)/ },
      ours: { again: /^UNKNOWN/, "c1 State": /status=2/ },
      reason: "the stock shim tells the exit a second time, or crashes",
    },
  ),
  row("exec: process that is no JSON", async (scene) => {
    const c = await scene.running();
    await c.exec("e", "{ not");
    await c.state("e");
  }),
  row("exec: process that is JSON of another kind", async (scene) => {
    const c = await scene.running();
    await c.exec("e", "[1]");
    await c.exec("f", '{"args":7}');
    await c.exec("g", "null");
  }),
  betterRow(
    "exec: no process at all",
    async (scene) => {
      const c = await scene.running();
      await c.call("Exec", { id: c.id, execId: "e" });
      await c.state();
    },
    {
      stock: { "c1/e Exec": /^UNAVAILABLE/ },
      ours: { "c1/e Exec": /^INVALID_ARGUMENT/, "c1 State": /status=2/ },
      reason: "the stock shim crashes",
    },
  ),
  row("exec: empty process", async (scene) => {
    const c = await scene.running();
    await c.exec("e", {});
    await c.start("e");
  }),
  row("exec: user that is not in the range", async (scene) => {
    const c = await scene.running();
    await c.exec("e", { args: ["id", "-u"], cwd: "/", user: { uid: 4294967295, gid: 0 } });
    await c.start("e");
  }),
  row("exec: as another user, elsewhere, with environment", async (scene) => {
    const c = await scene.running();
    const args = ["sh", "-c", "echo $(id -u) $(pwd) $WORD"];
    const env = ["PATH=/bin", "WORD=yes"];
    await c.exec("e", { args, env, cwd: "/tmp", user: { uid: 12, gid: 34 } }, scene.file("out"));
    await c.start("e");
    await c.wait("e");
    scene.note("output", await scene.text(scene.path("out")));
  }),
  row("exec: before start", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await c.exec("e", ["true"]);
    await c.start("e");
    await c.wait("e");
    await c.state("", { as: "init" });
  }),
  row("exec: while paused", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await c.exec("e", ["true"]);
    await c.state("e");
  }),
  row("exec: registered before a pause, started while paused", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["true"]);
    await c.pause();
    await c.state("e");
    await c.start("e");
    await c.resume();
    await c.state("e", { as: "state after resume" });
  }),
  row("exec: runs in a container that is paused", async (scene) => {
    const c = await scene.running();
    await c.exec("e", SLEEP);
    await c.start("e");
    await c.pause();
    await c.state("e");
    await c.delete("e");
    await c.resume();
    await c.state("e", { as: "state after resume" });
  }),
  row("exec: after the end of init", async (scene) => {
    const c = await scene.running(["true"]);
    await c.wait();
    await c.exec("e", ["true"]);
    await c.state("e");
  }),
  row(
    "exec: registered before the end of init, started after it",
    async (scene) => {
      const c = await scene.running();
      await c.exec("e", ["true"]);
      await c.kill(9);
      await c.wait();
      await c.start("e");
      await c.state("e");
      await c.blocked("wait afterwards", c.shim.task.Wait({ id: c.id, execId: "e" }));
    },
    [
      {
        label: "c1/e Start",
        stock: /^UNKNOWN/,
        ours: /^FAILED_PRECONDITION/,
        generations: /^1\.6$/,
        reason: "the code of later stock shims",
      },
      {
        label: "wait afterwards",
        stock: /^waits$/,
        ours: /^answers$/,
        generations: /^(1\.7|2\.)/,
        reason: "nothing will ever end that wait",
      },
    ],
  ),
  row("exec: with a restored container before its start", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create({ checkpoint: scene.path("none") });
    await c.exec("e", ["true"]);
    await c.delete();
  }),
  row("exec: delete while it runs, delete twice", async (scene) => {
    const c = await scene.running();
    await c.exec("e", SLEEP);
    await c.start("e");
    await c.delete("e", { as: "delete of the running" });
    await c.state("e");
    await c.kill(9, "e");
    await c.wait("e");
    await c.delete("e");
    await c.delete("e", { as: "again" });
  }),
  row("exec: kill of the ended, with 9, 15 and 0", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["true"]);
    await c.start("e");
    await c.wait("e");
    await c.kill(9, "e");
    await c.kill(15, "e");
    await c.kill(0, "e");
  }),
  row("exec: kill with 0, 15", async (scene) => {
    const c = await scene.running();
    await c.exec(
      "e",
      ["sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.1; done"],
      scene.file("out"),
    );
    await c.start("e");
    await scene.text(scene.path("out"));
    await c.kill(0, "e");
    await c.kill(15, "e");
    await c.wait("e");
  }),
  row("exec: kill with a signal that does not exist", async (scene) => {
    const c = await scene.running();
    await c.exec("e", SLEEP);
    await c.start("e");
    await c.kill(100, "e");
    await c.state("e");
  }),
  row(
    "exec: every call for one that is not there",
    async (scene) => {
      const c = await scene.running();
      const execId = "nobody";
      await c.state(execId);
      await c.start(execId);
      await c.kill(9, execId);
      await c.wait(execId);
      await c.delete(execId);
      await c.resize(80, 25, execId);
      await c.closeStdin(execId);
    },
    [
      {
        label: "c1/nobody CloseIO",
        stock: /^UNKNOWN/,
        ours: /^NOT_FOUND/,
        reason: "every other call says so too",
      },
    ],
  ),
  row("exec: ids of unusual form", async (scene) => {
    const c = await scene.running();
    for (const execId of ["a.b", "x".repeat(76)]) {
      await c.exec(execId, ["true"], {}, { as: `exec ${execId.slice(0, 4)}` });
      await c.start(execId, { as: `start ${execId.slice(0, 4)}` });
      await c.wait(execId, { as: `wait ${execId.slice(0, 4)}` });
    }
  }),
  row("exec: leaves no file in the bundle", async (scene) => {
    const c = await scene.running();
    const before = scene.files(c);
    await c.exec("e", SLEEP);
    await c.start("e");
    scene.note("while it runs", scene.files(c).filter((name) => !before.includes(name)).length <= 1);
    await c.kill(9, "e");
    await c.wait("e");
    await c.delete("e");
    scene.note(
      "afterwards",
      scene.files(c).filter((name) => !before.includes(name)),
    );
  }),
];
