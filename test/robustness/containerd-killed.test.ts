/** containerd is killed at random instants of what it is doing; after its restart everything is right. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { isAlive, killContainerd, LOG, restartContainerd, startContainerd } from "./lib/daemon.js";
import { Host } from "./lib/host.js";
import { type Inventory, inventory, mustBeGone } from "./lib/leaks.js";
import { SEED, seeded } from "./lib/random.js";
import { fifos, Reader } from "./lib/streams.js";
import { sleep, until } from "./lib/wait.js";

const ROUNDS = Number(process.env.ROBUST_ROUNDS ?? 12);
const RUNNING = 2;
const SLEEP = ["/bin/sleep", "1000000"];

interface Operation {
  readonly name: string;
  /** Within so many ms after its begin the kill comes. */
  readonly span: number;
  readonly prepare: (host: Host, id: string) => Promise<unknown>;
  readonly run: (host: Host, id: string) => Promise<unknown>;
  /** Whether the container runs before and must run afterwards. */
  readonly keeps: boolean;
}

const OPERATIONS: readonly Operation[] = [
  {
    name: "create",
    span: 600,
    prepare: (host, id) => host.define(id, { args: SLEEP }),
    run: (host, id) => host.createTask(id),
    keeps: false,
  },
  {
    name: "start",
    span: 100,
    prepare: async (host, id) => {
      await host.define(id, { args: SLEEP });
      await host.createTask(id);
    },
    run: (host, id) => host.start(id),
    keeps: false,
  },
  {
    name: "exec",
    span: 200,
    prepare: (host, id) => host.run(id, { args: SLEEP }),
    run: async (host, id) => {
      await host.exec(id, "e", ["/bin/sh", "-c", "exit 7"]);
      await host.wait(id, "e");
      await host.deleteExec(id, "e");
    },
    keeps: true,
  },
  {
    name: "checkpoint",
    span: 600,
    prepare: (host, id) => host.run(id, { args: SLEEP }),
    run: (host, id) => host.checkpoint(id),
    keeps: true,
  },
  {
    name: "delete",
    span: 200,
    prepare: async (host, id) => {
      await host.run(id, { args: SLEEP });
      await host.kill(id);
      await host.wait(id);
    },
    run: (host, id) => host.deleteTask(id),
    keeps: false,
  },
];

describe(`containerd killed (seed ${SEED})`, function () {
  this.timeout(600_000);
  const random = seeded(SEED);
  const host = new Host();
  let empty: Inventory;
  let bystander: number;
  before(async () => {
    await host.open();
    await restartContainerd();
    await host.answers();
  });
  beforeEach(async () => {
    bystander = await host.run("bystander", { args: SLEEP });
  });
  afterEach(() => host.clear());
  after(() => host.close());

  for (const operation of OPERATIONS) {
    it(`during ${operation.name}, ${ROUNDS} times`, async () => {
      const problems: string[] = [];
      empty = inventory();
      for (let round = 0; round < ROUNDS; round++) {
        const at = Math.floor(random() * operation.span);
        await interrupt(operation, `${operation.name}${round}`, at).catch((error: unknown) => {
          problems.push(`round ${round}, killed after ${at} ms: ${(error as Error).message}`);
          empty = inventory();
        });
      }
      assert.deepEqual(problems, []);
    });
  }

  async function interrupt(operation: Operation, id: string, at: number): Promise<void> {
    await operation.prepare(host, id);
    const pid = await host.pid(id);
    const running = operation.run(host, id).catch(() => undefined);
    await sleep(at);
    await killContainerd();
    await running;
    await startContainerd();
    await host.answers();
    assert.equal(await host.status("bystander"), RUNNING, "the bystander is not running");
    assert.equal(await host.pid("bystander"), bystander);
    if (operation.keeps) {
      assert.equal(await host.status(id), RUNNING, "the container is not running");
      assert.equal(await host.pid(id), pid);
    }
    const status = await host.status(id);
    await host.remove(id);
    await mustBeGone(empty).catch((error: unknown) => {
      throw new Error(`${(error as Error).message} (its status was ${status})`);
    });
  }

  it("while a client reads: not a byte is lost, and the log is copied again", async () => {
    const stdio = fifos(host.folder, "reads", "stdout");
    const reader = new Reader(stdio.stdout, true);
    const script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); usleep 1000; done";
    const pid = await host.run("reads", { args: ["/bin/sh", "-c", script], stdio });
    const all = reader.readAll();
    await killContainerd();
    await startContainerd();
    await host.answers();
    const before = readFileSync(LOG, "utf8").length;
    // What a shim refuses it logs.
    await assert.rejects(host.start("reads", "nowhere"));
    const logged = () => readFileSync(LOG, "utf8").slice(before);
    await until("the shim's line is in containerd's log", () => /"shim":"pclive".*nowhere/.test(logged()));
    await all;
    assert.equal(reader.text, Array.from({ length: 3000 }, (_, i) => `${i}\n`).join(""));
    await until("init has ended", () => !isAlive(pid));
    assert.equal(await host.wait("reads"), 0);
    await host.remove("reads");
  });
});
