/** Our ttrpc client against the real ends of containerd: its event service, and the task service of its own runc shim. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { containerd, google } from "#protos/shim";
import { Client, Code, type ServiceClient } from "#ttrpc";
import { deliveryTo } from "../../shim/events/containerd.js";
import * as events from "../../shim/events/events.js";
import type { Lab } from "../lab/lab.js";
import { theLab } from "./setup.js";

const api = containerd.task.v2;
const { Empty } = google.protobuf;
const { ForwardRequest } = containerd.services.events.ttrpc.v1;

const TASK = {
  State: { request: api.StateRequest, response: api.StateResponse },
  Pids: { request: api.PidsRequest, response: api.PidsResponse },
  Connect: { request: api.ConnectRequest, response: api.ConnectResponse },
  Stats: { request: api.StatsRequest, response: api.StatsResponse },
  Kill: { request: api.KillRequest, response: Empty },
  Wait: { request: api.WaitRequest, response: api.WaitResponse },
  Pause: { request: api.PauseRequest, response: Empty },
  Resume: { request: api.ResumeRequest, response: Empty },
} as const;

const SIGKILL = 9;

describe("our ttrpc and containerd", function () {
  this.timeout(120_000);
  let lab: Lab;
  let root: string;

  before(async () => {
    lab = await theLab();
    root = await lab.root("a");
  });

  describe("its event service", () => {
    const namespace = "ttrpc-events";
    const id = "not-there";
    let watcher: ChildProcess;
    let seen = "";
    let socket: string;

    before(async () => {
      socket = `${root}/run/containerd/containerd.sock.ttrpc`;
      watcher = lab.spawn("a", ["ctr", "events"]);
      watcher.stdout?.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
      });
      // Until it has subscribed, events pass it by.
      const { deliver } = deliveryTo(socket, namespace);
      await until(async () => {
        await deliver(events.oom("probe"));
        return seen.includes("probe");
      });
    });

    after(() => {
      lab.signal(watcher, "SIGTERM");
    });

    it("takes every event of a task, in order", async () => {
      const exit = { status: 137, at: Date.now() };
      const stdio = { stdin: "", stdout: "/o", stderr: "", terminal: false };
      const sent = [
        events.created({ id, bundle: "/b", rootfs: [], stdio, checkpoint: "", pid: 7 }),
        events.started(id, 7),
        events.execAdded(id, "e"),
        events.execStarted(id, "e", 8),
        events.paused(id),
        events.resumed(id),
        events.oom(id),
        events.checkpointed(id, "/c"),
        events.exited(id, "e", 8, exit),
        events.exited(id, id, 7, exit),
        events.deleted(id, 7, exit),
      ];
      const { deliver } = deliveryTo(socket, namespace);
      for (const event of sent) await deliver(event);
      const ours = () => seen.split("\n").filter((line) => line.includes(`"${id}"`));
      await until(async () => ours().length >= sent.length);
      assert.deepEqual(
        ours().map((line) => / (\/tasks\/\S+) /.exec(line)?.[1]),
        sent.map(({ topic }) => topic),
      );
      assert.ok(ours().every((line) => line.includes(` ${namespace} `)));
      assert.match(ours().at(-2) ?? "", /"pid":7.*"exit_status":137/);
    });

    it("refuses what is no event, with its code, and goes on", async () => {
      const client = await Client.connect(socket);
      const name = "containerd.services.events.ttrpc.v1.Events";
      const service = client.service(name, { Forward: { request: ForwardRequest, response: Empty } });
      const event = { type_url: "containerd.events.TaskOOM", value: Buffer.alloc(0) };
      const timestamp = { seconds: Math.floor(Date.now() / 1000) };
      const envelope = { timestamp, namespace, event };
      const wrong = service.Forward({ envelope: { ...envelope, topic: "no-slash" } });
      await assert.rejects(wrong, { code: Code.INVALID_ARGUMENT });
      await service.Forward({ envelope: { ...envelope, topic: "/tasks/oom" } });
      const nothing = client.call(name, "Nothing", { request: Empty, response: Empty }, {});
      await assert.rejects(nothing, { code: Code.UNIMPLEMENTED });
      client.close();
    });
  });

  describe("the task service of its runc shim", () => {
    const id = "ttrpc-stock";
    let client: Client;
    let task: ServiceClient<typeof TASK>;

    before(async () => {
      const image = await lab.image("a", "base");
      await lab.exec("a", ["ctr", "run", "-d", "--runtime", "io.containerd.runc.v2", image, id]);
      const bundle = `/run/containerd/io.containerd.runtime.v2.task/default/${id}`;
      // containerd 2 keeps the address in bootstrap.json instead.
      const find = `cat ${bundle}/address 2>/dev/null || grep -o 'unix://[^"]*' ${bundle}/bootstrap.json`;
      const { stdout } = await lab.exec("a", ["sh", "-c", find]);
      client = await Client.connect(root + stdout.trim().replace("unix://", ""));
      task = client.service("containerd.task.v2.Task", TASK);
    });

    after(async () => {
      client?.close();
      const clean = `ctr task kill -s KILL ${id}; ctr task rm -f ${id}; ctr container rm ${id}`;
      await lab.exec("a", ["sh", "-c", clean], { allowFailure: true });
    });

    it("answers, with the metadata that it is given", async () => {
      const metadata = { "containerd-namespace-ttrpc": "default" };
      const { pid, status } = await task.State({ id }, { metadata });
      assert.equal(status, containerd.v1.types.Status.RUNNING);
      const { processes } = await task.Pids({ id });
      assert.deepEqual(
        processes.map((process) => process.pid),
        [pid],
      );
      const { taskPid, shimPid } = await task.Connect({ id });
      assert.equal(taskPid, pid);
      assert.ok(shimPid > 0);
      assert.match((await task.Stats({ id })).stats?.type_url ?? "", /cgroups/);
    });

    it("refuses with its codes", async () => {
      await assert.rejects(task.State({ id: "nobody" }), { code: Code.NOT_FOUND });
      await assert.rejects(task.State({ id, execId: "nobody" }), { code: Code.NOT_FOUND });
      const later = client.call("containerd.task.v9.Task", "State", TASK.State, { id });
      await assert.rejects(later, { code: Code.UNIMPLEMENTED });
    });

    it("serves many calls beside those that wait", async () => {
      const waits = Array.from({ length: 20 }, () => task.Wait({ id }, { timeoutMs: 60_000 }));
      const short = task.Wait({ id }, { timeoutMs: 200 });
      await assert.rejects(short, { code: Code.DEADLINE_EXCEEDED });
      const states = await Promise.all(Array.from({ length: 100 }, () => task.State({ id })));
      assert.ok(states.every(({ status }) => status === containerd.v1.types.Status.RUNNING));
      await task.Pause({ id });
      assert.equal((await task.State({ id })).status, containerd.v1.types.Status.PAUSED);
      await task.Resume({ id });
      await task.Kill({ id, signal: SIGKILL });
      const exits = await Promise.all(waits);
      assert.deepEqual([...new Set(exits.map(({ exitStatus }) => exitStatus))], [137]);
    });
  });
});

async function until(check: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await check()); await sleep(50)) {
    assert.ok(Date.now() < deadline, "waited in vain");
  }
}
