/** Hundreds of containers come and go: nothing of them stays. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { containerdPid, isAlive } from "./lib/daemon.js";
import { Host } from "./lib/host.js";
import { type Holdings, holdings, inventory, mustBeGone, wakeups } from "./lib/leaks.js";
import { fifos, Reader } from "./lib/streams.js";
import { inParallel, sleep, until } from "./lib/wait.js";

const COUNT = Number(process.env.ROBUST_CONTAINERS ?? 500);
const WIDTH = 20;
/** Of resident memory, in either direction. */
const RSS_CHANGE = 0.05;
const LOOKS = 7;
const LOOK_MS = 500;
/** Until the heap has its size and what runs often has been compiled. */
const WARM_UP = 150;
/** Once more, when memory is not as it was. */
const WAVE = 100;
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

  const containerds = () =>
    [...holdings(containerdPid()).descriptors.values()].reduce((sum, count) => sum + count, 0);

  it(`leaves nothing of ${COUNT} containers with a shim each`, async () => {
    await inParallel(WIDTH, WIDTH, (n) => live(`w${n}`, n));
    const [before, held] = [inventory(), containerds()];
    await inParallel(COUNT, WIDTH, (n) => live(`c${n}`, n));
    await mustBeGone(before);
    // A shim's log and connection are descriptors of containerd.
    await until("containerd holds as many", () => containerds() <= held);
  });

  it(`leaves nothing of ${COUNT} containers in one shim, which is as it was`, async () => {
    const before = inventory();
    const shim = host.shimOf(await host.run("anchor", { args: ["/bin/sleep", "1000000"], group: "g" }));
    await inParallel(warms ? WARM_UP : WIDTH, WIDTH, (n) => live(`w${n}`, n, "g"));
    let wave = 0;
    const again = () => inParallel(WAVE, WIDTH, (n) => live(`r${wave}-${n}`, n, "g"));
    const warm = await settled(shim);
    const running = inventory();
    await inParallel(COUNT, WIDTH, (n) => live(`g${n}`, n, "g"));
    await mustBeGone(running);
    let then = await settled(shim);
    // Garbage is collected when there is enough of it: what leaks never comes down again, and what has come down was
    // garbage in the warm shim, which then is no measure.
    let base = warm.rss;
    for (; warms && Math.abs(then.rss / base - 1) > RSS_CHANGE && wave < 5; wave++) {
      base = Math.min(base, then.rss);
      await again();
      then = await settled(shim);
    }
    console.log(
      `      rss ${warm.rss} → ${then.rss} KiB, ${then.threads} threads, ${then.wakeups} wakeups/s`,
    );
    assert.deepEqual(then.descriptors, warm.descriptors);
    assert.equal(then.threads, warm.threads);
    // A timer that nobody stopped would wake it, again and again.
    assert.ok(then.wakeups <= warm.wakeups + 2, `${warm.wakeups} → ${then.wakeups} wakeups/s`);
    if (warms) {
      const change = then.rss / base - 1;
      assert.ok(Math.abs(change) <= RSS_CHANGE, `resident memory: from ${base} to ${then.rss} KiB`);
    }
    await host.remove("anchor");
    await mustBeGone(before);
    assert.ok(!isAlive(shim));
  });

  /** What it holds when it has come to rest; memory as the median of several looks. */
  async function settled(pid: number): Promise<Holdings & { wakeups: number }> {
    await sleep(3000);
    const [begun, first] = [performance.now(), wakeups(pid)];
    const looks: Holdings[] = [];
    while (looks.length < LOOKS) {
      await sleep(LOOK_MS);
      looks.push(holdings(pid));
    }
    const seconds = (performance.now() - begun) / 1000;
    const rss = looks.map((look) => look.rss).sort((a, b) => a - b)[LOOKS >> 1] ?? 0;
    const last = looks.at(-1) as Holdings;
    return { ...last, rss, wakeups: Math.round((wakeups(pid) - first) / seconds) };
  }
});
