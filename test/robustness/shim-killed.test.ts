/** The shim is killed, stopped for a while, or starved: containers end or go on, and nothing of them stays. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { isAlive } from "./lib/daemon.js";
import { Events } from "./lib/events.js";
import { Host } from "./lib/host.js";
import { holdings, inventory, mustBeGone, settled } from "./lib/leaks.js";
import { SEED, seeded } from "./lib/random.js";
import { fifos, Reader } from "./lib/streams.js";
import { sleep, until } from "./lib/wait.js";

const ROUNDS = Number(process.env.ROBUST_ROUNDS ?? 12);
const PAUSE_MS = Number(process.env.ROBUST_PAUSE_MS ?? 15_000);
const SLEEP = ["/bin/sleep", "1000000"];
const RUNNING = 2;

describe(`shim killed (seed ${SEED})`, function () {
  this.timeout(300_000);
  const random = seeded(SEED);
  const host = new Host();
  before(() => host.open());
  afterEach(() => host.clear());
  after(() => host.close());

  /** containerd has told of the end and taken everything away. */
  async function cleanedUp(events: Events, id: string): Promise<void> {
    assert.equal((await events.has("/tasks/exit", id)).status, 137);
    await events.has("/tasks/delete", id);
    await until(
      `containerd has forgotten the task of ${id}`,
      async () => (await host.status(id)) === undefined,
    );
    await host.forget(id);
  }

  it("takes a container with execs and streams along", async () => {
    const empty = inventory();
    const stdio = fifos(host.folder, "k", "stdout");
    const reader = new Reader(stdio.stdout);
    const events = await Events.of(host);
    const pid = await host.run("k", { args: ["/bin/sh", "-c", "echo x; sleep 1000000"], stdio });
    const execs = [await host.exec("k", "a", SLEEP), await host.exec("k", "b", SLEEP)];
    process.kill(host.shimOf(pid), "SIGKILL");
    await cleanedUp(events, "k");
    for (const each of [pid, ...execs]) assert.ok(!isAlive(each));
    await reader.readAll();
    events.close();
    execFileSync("rm", [stdio.stdout]);
    await mustBeGone(empty);
  });

  it("takes all three containers of a group along", async () => {
    const empty = inventory();
    const events = await Events.of(host);
    const ids = ["k1", "k2", "k3"];
    const pids: number[] = [];
    for (const id of ids) pids.push(await host.run(id, { args: SLEEP, group: "k" }));
    process.kill(host.shimOf(pids[0] ?? 0), "SIGKILL");
    for (const id of ids) await cleanedUp(events, id);
    for (const each of pids) assert.ok(!isAlive(each));
    events.close();
    await mustBeGone(empty);
  });

  for (const [name, span] of [
    ["create", 500],
    ["exec", 150],
    ["checkpoint", 500],
  ] as const) {
    it(`leaves nothing when it comes during ${name}, ${ROUNDS} times`, async () => {
      const empty = inventory();
      for (let round = 0; round < ROUNDS; round++) {
        const [anchor, id] = [`anchor-${name}${round}`, `${name}${round}`];
        // A container that is there already tells which process the shim is.
        const shim = host.shimOf(await host.run(anchor, { args: SLEEP, group: id }));
        if (name === "create") await host.define(id, { args: SLEEP, group: id });
        const work = {
          create: () => host.createTask(id),
          exec: () => host.exec(anchor, "e", SLEEP),
          checkpoint: () => host.checkpoint(anchor),
        }[name];
        const running = work().catch(() => undefined);
        const at = Math.floor(random() * span);
        await sleep(at);
        process.kill(shim, "SIGKILL");
        await running;
        await until("the shim's task is gone", async () => (await host.status(anchor)) === undefined);
        // It may have come after the kill, and then has got a shim of its own.
        for (const each of [anchor, id]) await host.remove(each);
        await mustBeGone(empty).catch((error: unknown) => {
          throw new Error(`round ${round}, killed after ${at} ms: ${(error as Error).message}`);
        });
      }
    });
  }

  it(`loses nothing when it is stopped for ${PAUSE_MS} ms`, async () => {
    const empty = inventory();
    const stdio = fifos(host.folder, "s", "stdout");
    const reader = new Reader(stdio.stdout, true);
    const events = await Events.of(host);
    const script = "i=0; while [ $i -lt 30000 ]; do echo $i; i=$((i+1)); done; exit 6";
    const pid = await host.run("s", { args: ["/bin/sh", "-c", `sleep 1; ${script}`], stdio });
    const shim = host.shimOf(pid);
    process.kill(shim, "SIGSTOP");
    await sleep(PAUSE_MS);
    process.kill(shim, "SIGCONT");
    await reader.readAll();
    assert.equal(reader.text, Array.from({ length: 30_000 }, (_, i) => `${i}\n`).join(""));
    assert.equal((await events.has("/tasks/exit", "s")).status, 6);
    assert.equal(await host.deleteTask("s"), 6);
    await host.forget("s");
    events.close();
    execFileSync("rm", [stdio.stdout]);
    await mustBeGone(empty);
  });

  it("survives running out of descriptors, and says so", async () => {
    const empty = inventory();
    const shim = host.shimOf(await host.run("d", { args: SLEEP, group: "d" }));
    const limit = [...holdings(shim).descriptors.values()].reduce((a, b) => a + b) + 110;
    execFileSync("prlimit", ["--pid", String(shim), `--nofile=${limit}:`]);
    const made: string[] = [];
    let failure: unknown;
    while (failure === undefined && made.length < 30) {
      const id = `d${made.length}`;
      const stdio = fifos(host.folder, id, "stdin", "stdout", "stderr");
      const readers = [new Reader(stdio.stdout), new Reader(stdio.stderr)];
      await host.run(id, { args: SLEEP, group: "d", stdio }).catch((error: unknown) => {
        failure = error;
      });
      for (const reader of readers) reader.close();
      execFileSync("rm", Object.values(stdio));
      if (failure === undefined) made.push(id);
      else await host.remove(id);
    }
    assert.match(String((failure as Error | undefined)?.message), /too many open files.*LimitNOFILE/);
    assert.ok(made.length > 0);
    assert.equal(await host.status("d"), RUNNING);
    for (const id of made) await host.remove(id);
    // What it gave back is there for others.
    const before = (await settled(shim)).descriptors;
    await host.run("again", { args: ["/bin/true"], group: "d" });
    assert.equal(await host.wait("again"), 0);
    await host.remove("again");
    assert.deepEqual((await settled(shim)).descriptors, before);
    await host.remove("d");
    await mustBeGone(empty);
  });
});
