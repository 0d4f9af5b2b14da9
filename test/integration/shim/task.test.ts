/** The Task service against a real runC, without containerd. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import { Code, TtrpcError } from "#ttrpc";
import { ShimBench, type Task, until } from "./bundle.js";

const { Status } = containerd.v1.types;
const withCode = (code: number) => (error: unknown) => error instanceof TtrpcError && error.code === code;

describe("shim", function () {
  this.timeout(30_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());
  beforeEach(() => bench.events.splice(0));

  async function create(args: string[], change?: Parameters<ShimBench["makeBundle"]>[1]) {
    const { id, bundle } = bench.makeBundle(args, change);
    const shim = await bench.start(id, bundle);
    const stdout = join(bundle, "out.txt");
    const made = await shim.task.Create({ id, bundle, rootfs: bench.rootfs(), stdout: `file://${stdout}` });
    return { id, bundle, stdout, pid: made.pid, ...shim };
  }

  async function finish(task: Task, id: string, address: string): Promise<void> {
    await task.Delete({ id });
    await task.Shutdown({ id });
    await until(() => !existsSync(address.replace("unix://", "")));
  }

  it("runs a process from Create to Shutdown, with its events in order", async () => {
    const { id, bundle, stdout, pid, task, address } = await create(["/bin/sh", "-c", "echo out; exit 7"]);
    assert.ok(pid > 0);
    const before = await task.State({ id });
    assert.deepEqual([before.status, before.pid], [Status.CREATED, pid]);
    const waiters = [task.Wait({ id }), task.Wait({ id })];
    assert.equal((await task.Start({ id })).pid, pid);
    for (const end of await Promise.all(waiters)) assert.equal(end.exitStatus, 7);
    const after = await task.State({ id });
    assert.deepEqual([after.status, after.exitStatus], [Status.STOPPED, 7]);
    assert.equal(readFileSync(join(bundle, "address"), "utf8"), address);
    assert.equal(readFileSync(join(bundle, "init.pid"), "utf8"), String(pid));
    await finish(task, id, address);
    assert.equal(readFileSync(stdout, "utf8"), "out\n");
    assert.deepEqual(bench.topics(), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(bundle));
  });

  it("reports an exit with 128 + signal, and an init killed before its start", async () => {
    const { id, task, address, pid } = await create(["/bin/sleep", "100"]);
    const waiting = task.Wait({ id });
    await task.Kill({ id, signal: 9 });
    assert.equal((await waiting).exitStatus, 137);
    await until(() => bench.topics().includes("/tasks/exit"));
    const exit = bench.events.find(({ topic }) => topic === "/tasks/exit");
    assert.equal(containerd.events.TaskExit.decode(exit?.bytes ?? new Uint8Array()).pid, pid);
    await assert.rejects(task.Kill({ id, signal: 9 }), withCode(Code.NOT_FOUND));
    await finish(task, id, address);
  });

  it("deletes what was never started, and tells of the exit", async () => {
    const { id, task } = await create(["/bin/sleep", "100"]);
    assert.equal((await task.Delete({ id })).exitStatus, 0);
    await task.Shutdown({ id });
    await until(() => bench.topics().includes("/tasks/delete"));
    assert.deepEqual(bench.topics(), ["/tasks/create", "/tasks/exit", "/tasks/delete"]);
  });

  it("tells when the container runs out of memory", async () => {
    const hungry = ["/bin/sh", "-c", "x=x; while :; do x=$x$x; done"];
    const { id, task, address } = await create(hungry, (spec) => {
      spec.linux.resources = { memory: { limit: 16 << 20, swap: 16 << 20 } };
    });
    await task.Start({ id });
    assert.equal((await task.Wait({ id })).exitStatus, 137);
    await until(() => bench.topics().includes("/tasks/oom"));
    await finish(task, id, address);
  });

  it("adds processes, and reports init's end last", async () => {
    const { id, task, address } = await create(["/bin/sleep", "100"]);
    await task.Start({ id });
    const spec = { args: ["/bin/sleep", "100"], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } };
    const any = { type_url: "x", value: Buffer.from(JSON.stringify(spec)) };
    await task.Exec({ id, execId: "e", spec: any });
    await assert.rejects(task.Exec({ id, execId: "e", spec: any }), withCode(Code.ALREADY_EXISTS));
    await assert.rejects(task.Kill({ id, execId: "e", signal: 15 }), withCode(Code.FAILED_PRECONDITION));
    const { pid } = await task.Start({ id, execId: "e" });
    const { processes } = await task.Pids({ id });
    assert.ok(
      processes.some(
        (process) => process.pid === pid && process.info?.type_url === "containerd.runc.v1.ProcessDetails",
      ),
    );
    await task.Kill({ id, signal: 9 });
    assert.equal((await task.Wait({ id })).exitStatus, 137);
    assert.equal((await task.Wait({ id, execId: "e" })).exitStatus, 137);
    await until(() => bench.topics().filter((topic) => topic === "/tasks/exit").length === 2);
    const exits = bench.events.filter(({ topic }) => topic === "/tasks/exit");
    assert.deepEqual(
      exits.map(({ bytes }) => containerd.events.TaskExit.decode(bytes).id),
      ["e", id],
    );
    await task.Delete({ id, execId: "e" });
    await assert.rejects(task.Delete({ id, execId: "e" }), withCode(Code.NOT_FOUND));
    await finish(task, id, address);
  });

  it("leaves a failed exec as created, its waiters released", async () => {
    const { id, task, address } = await create(["/bin/sleep", "100"]);
    await task.Start({ id });
    const spec = { args: ["/no/such"], cwd: "/", user: { uid: 0, gid: 0 } };
    await task.Exec({ id, execId: "e", spec: { type_url: "x", value: Buffer.from(JSON.stringify(spec)) } });
    const waiting = task.Wait({ id, execId: "e" });
    await assert.rejects(task.Start({ id, execId: "e" }), /no such file/);
    await waiting;
    assert.equal((await task.State({ id, execId: "e" })).status, Status.CREATED);
    assert.ok(!bench.topics().includes("/tasks/exit"));
    await task.Kill({ id, signal: 9 });
    await task.Wait({ id });
    await finish(task, id, address);
  });

  it("pauses, resumes, counts, updates", async () => {
    const { id, task, address } = await create(["/bin/sleep", "100"]);
    await assert.rejects(task.Pause({ id }), withCode(Code.UNKNOWN));
    await task.Start({ id });
    await task.Pause({ id });
    assert.equal((await task.State({ id })).status, Status.PAUSED);
    await assert.rejects(task.Delete({ id }), withCode(Code.UNKNOWN));
    await task.Resume({ id });
    assert.equal((await task.State({ id })).status, Status.RUNNING);
    assert.match(
      (await task.Stats({ id })).stats?.type_url ?? "",
      /^io\.containerd\.cgroups\.v[12]\.Metrics$/,
    );
    await task.Update({ id, resources: { type_url: "x", value: Buffer.from('{"pids":{"limit":50}}') } });
    assert.equal((await task.Connect({ id })).taskPid, (await task.State({ id })).pid);
    assert.equal((await task.Connect({ id: "other" })).taskPid, 0);
    await task.Kill({ id, signal: 9 });
    await task.Wait({ id });
    await finish(task, id, address);
    assert.deepEqual(bench.topics().slice(2, 4), ["/tasks/paused", "/tasks/resumed"]);
  });

  it("kills what shares the host's pid namespace", async () => {
    const own = (spec: { linux: { namespaces: { type: string }[] } }) => {
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "pid");
    };
    const { id, task, address } = await create(["/bin/sh", "-c", "sleep 1234 & exec sleep 1235"], own);
    await task.Start({ id });
    await until(() => execFileSync("pgrep", ["-fx", "sleep 1234"]).length > 0);
    await task.Kill({ id, signal: 9 });
    await task.Wait({ id });
    assert.throws(() => execFileSync("pgrep", ["-fx", "sleep 1234"]));
    await finish(task, id, address);
  });

  it("undoes a Create that fails, and tells runC's reason", async () => {
    const { id, bundle } = bench.makeBundle(["/no/such"]);
    const { task, address } = await bench.start(id, bundle);
    await assert.rejects(
      task.Create({ id, bundle, rootfs: bench.rootfs() }),
      /OCI runtime create failed: .*no such file/,
    );
    await assert.rejects(task.State({ id }), withCode(Code.NOT_FOUND));
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(bundle));
    assert.deepEqual(bench.topics(), []);
    await task.Shutdown({ id });
    await until(() => !existsSync(address.replace("unix://", "")));
  });

  it("serves a group of containers from one process", async () => {
    const grouped = (spec: { annotations?: Record<string, string> }) => {
      spec.annotations = { "io.containerd.runc.v2.group": `g${process.pid}` };
    };
    const one = await create(["/bin/sleep", "100"], grouped);
    const two = await create(["/bin/sleep", "100"], grouped);
    assert.equal(one.address, two.address);
    await two.task.Start({ id: two.id });
    await two.task.Kill({ id: two.id, signal: 9 });
    await two.task.Wait({ id: two.id });
    await two.task.Delete({ id: two.id });
    await two.task.Shutdown({ id: two.id });
    assert.equal((await one.task.State({ id: one.id })).status, Status.CREATED);
    await finish(one.task, one.id, one.address);
  });

  it("cleans up by delete when the server is gone, and again", async () => {
    const { id, bundle, task, pid } = await create(["/bin/sleep", "100"]);
    await task.Start({ id });
    const { shimPid } = await task.Connect({ id });
    process.kill(shimPid, "SIGKILL");
    for (let round = 0; round < 2; round++) {
      const { stdout, status } = bench.run("delete", id, bundle);
      assert.equal(status, 0);
      const answer = containerd.task.v2.DeleteResponse.decode(stdout);
      assert.deepEqual([answer.pid, answer.exitStatus], [pid, 137]);
    }
    assert.ok(!isAlive(pid));
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(bundle));
    await bench.start(id, bundle).then(({ task: again }) => again.Shutdown({ id }));
  });
});

/** A process that nobody has collected yet counts as dead. */
function isAlive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
