/** Hundreds of containers come and go: nothing of them stays. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { isAlive } from "./lib/daemon.js";
import { Host } from "./lib/host.js";
import { type Holdings, holdings, inventory, mustBeGone } from "./lib/leaks.js";
import { fifos, Reader } from "./lib/streams.js";
import { inParallel, sleep } from "./lib/wait.js";

const COUNT = Number(process.env.ROBUST_CONTAINERS ?? 500);
const WIDTH = 20;
/** Until the heap has its size and what runs often has been compiled. */
const WARM_UP = 150;
/** A small run has no time for that, and no use for a figure of memory. */
const warms = COUNT > WARM_UP;

describe("churn", function () {
  this.timeout(900_000);
  const host = new Host();
  before(() => host.open());
  afterEach(() => host.clear());
  after(() => host.close());

  /** One container's life: started, one exec, ended in one of three ways, taken away. */
  async function live(id: string, n: number, group?: string): Promise<void> {
    const lives = n % 3 === 0;
    const script = lives ? "sleep 1000" : "echo end; exit 3";
    const stdio = n % 3 === 1 ? fifos(host.folder, id, "stdin", "stdout", "stderr") : {};
    const paths: string[] = Object.values(stdio);
    const readers = paths.slice(1).map((path) => new Reader(path));
    await host.run(id, { args: ["/bin/sh", "-c", script], stdio, ...(group ? { group } : {}) });
    if (lives) {
      await host.exec(id, "e", ["/bin/sh", "-c", "exit 5"]);
      assert.equal(await host.wait(id, "e"), 5);
      assert.equal(await host.deleteExec(id, "e"), 5);
      await host.kill(id);
    }
    const status = await host.wait(id);
    await Promise.all(readers.map((reader) => reader.readAll()));
    for (const path of paths) rmSync(path);
    assert.equal(status, lives ? 137 : 3);
    assert.equal(await host.deleteTask(id), status);
    await host.forget(id);
  }

  it(`leaves nothing of ${COUNT} containers with a shim each`, async () => {
    await inParallel(WIDTH, WIDTH, (n) => live(`w${n}`, n));
    const before = inventory();
    await inParallel(COUNT, WIDTH, (n) => live(`c${n}`, n));
    await mustBeGone(before);
  });

  it(`leaves nothing of ${COUNT} containers in one shim, which is as it was`, async () => {
    const before = inventory();
    const shim = host.shimOf(await host.run("anchor", { args: ["/bin/sleep", "1000000"], group: "g" }));
    await inParallel(warms ? WARM_UP : WIDTH, WIDTH, (n) => live(`w${n}`, n, "g"));
    let wave = 0;
    const again = () => inParallel(WIDTH, WIDTH, (n) => live(`r${wave}-${n}`, n, "g"));
    const warm = await settled(shim);
    const running = inventory();
    await inParallel(COUNT, WIDTH, (n) => live(`g${n}`, n, "g"));
    await mustBeGone(running);
    let then = await settled(shim);
    // Garbage is collected when there is enough of it; what leaks never comes down again.
    for (; warms && then.rss > warm.rss * 1.05 && wave < 5; wave++) {
      await again();
      then = await settled(shim);
    }
    console.log(`      rss ${warm.rss} → ${then.rss} KiB, ${then.threads} threads`);
    assert.deepEqual(then.descriptors, warm.descriptors);
    assert.equal(then.threads, warm.threads);
    if (warms)
      assert.ok(then.rss <= warm.rss * 1.05, `the shim has grown from ${warm.rss} to ${then.rss} KiB`);
    await host.remove("anchor");
    await mustBeGone(before);
    assert.ok(!isAlive(shim));
  });

  async function settled(pid: number): Promise<Holdings> {
    await sleep(3000);
    return holdings(pid);
  }
});
