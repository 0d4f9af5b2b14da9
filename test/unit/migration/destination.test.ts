import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DestinationMigration } from "../../../runtime/migration/destination.js";
import type { DestinationOptions } from "../../../runtime/migration/destination-prepare.js";
import { Bench, canFreeze } from "./bench.js";

const ID = "ffeeddccbbaa99887766554433221100";
const DESCRIPTORS = '["/dev/null","pipe:[1]","pipe:[2]"]';

describe("the destination of a migration", function () {
  this.timeout(20_000);
  let bench: Bench;
  let pid = 0;
  beforeEach(function () {
    if (!canFreeze) this.skip();
    bench = new Bench();
    pid = bench.startVictim();
  });
  afterEach(() => bench?.remove());

  function migration(options: Partial<DestinationOptions> = {}): DestinationMigration {
    return new DestinationMigration(bench.destination(), {
      migration: ID,
      strategy: "pipelined",
      listen: { host: "127.0.0.1", token: "00", tls: { ca: "/c", cert: "/c", key: "/k", peerName: "a" } },
      descriptorsJson: DESCRIPTORS,
      libDir: bench.dir,
      records: bench.records,
      places: bench.places,
      ...options,
    });
  }
  const state = async () => (await bench.records.read(ID))?.state;

  async function forgotten(): Promise<void> {
    assert.equal(await state(), "refused");
    assert.equal(bench.adopted, 0);
    assert.equal(bench.has("released"), false);
    assert.deepEqual(readdirSync(bench.places.runDir), []);
    assert.equal(bench.failures.length, 1);
  }

  it("holds the container, and lets it go when it is told", async () => {
    const move = migration();
    assert.equal(await move.prepare(), 4711);
    const report = await move.ready();
    assert.equal(report.memoryRestoreMs, 1.5);
    assert.ok(report.restoreMs >= 0);
    assert.equal(report.stagedBytes, 4096);
    assert.equal(await state(), "held");
    assert.equal(bench.has("released"), false);
    const running = await move.release();
    assert.equal(running.pid, pid);
    assert.ok(running.rssBytes > 0);
    assert.equal(bench.adopted, pid);
    assert.equal(await state(), "running");
    assert.deepEqual(readdirSync(bench.places.runDir), []);
  });

  it("takes no step out of order", async () => {
    const move = migration();
    await assert.rejects(move.ready(), { code: "wrong-state" });
    await assert.rejects(move.release(), { code: "wrong-state" });
    await move.prepare();
    await assert.rejects(move.prepare(), { code: "wrong-state" });
    await assert.rejects(move.release(), { code: "wrong-state" });
    await move.abort("test");
    await forgotten();
  });

  it("forgets at any time before the release, but never after", async () => {
    for (const steps of [["prepare"], ["prepare", "ready"]] as const) {
      await bench.records.prune(Date.now() + 1000);
      bench.failures.length = 0;
      const move = migration();
      for (const step of steps) await move[step]();
      assert.equal((await move.abort("test"))?.state, "refused");
      await forgotten();
    }
    await bench.records.prune(Date.now() + 1000);
    const move = migration();
    await move.prepare();
    await move.ready();
    await move.release();
    assert.equal((await move.abort("too late"))?.state, "running");
  });

  it("forgets while it waits", async () => {
    bench.engineDoes({ arrive: "hang" });
    const move = migration();
    await move.prepare();
    const ready = move.ready();
    await sleep(100);
    await Promise.all([assert.rejects(ready), move.abort("the agent's connection closed")]);
    await forgotten();
  });

  for (const [script, code] of [
    [{ listen: "error" }, "peer-lost"],
    [{ begin: "die" }, "engine-failed"],
    [{ arrive: "die" }, "engine-failed"],
    [{ arrive: "error" }, "inconsistent"],
    [{ stats: "die" }, "engine-failed"],
  ] as const) {
    it(`refuses when ${JSON.stringify(script)}`, async () => {
      bench.engineDoes(script);
      const move = migration();
      await assert.rejects(
        (async () => {
          await move.prepare();
          await move.ready();
        })(),
        { code },
      );
      await forgotten();
    });
  }

  it("refuses when runC cannot restore", async () => {
    bench.trace("broken");
    bench.engineDoes({ arrive: "hang" });
    const move = migration();
    await assert.rejects(
      (async () => {
        await move.prepare();
        await move.ready();
      })(),
      { code: "restore-failed" },
    );
    await forgotten();
  });

  it("refuses a list of descriptors that is none", async () => {
    for (const descriptorsJson of ["", "{}", '["a","b"]', "[1,2,3]"]) {
      await assert.rejects(migration({ descriptorsJson }).prepare(), { code: "protocol" });
    }
  });

  it("does not fail silently after the decision: the record says running, the task failed", async () => {
    bench.engineDoes({ release: "die" });
    const move = migration();
    await move.prepare();
    await move.ready();
    await assert.rejects(move.release(), { code: "engine-failed" });
    assert.equal(await state(), "running");
    assert.equal(bench.failures.length, 1);
  });
});
