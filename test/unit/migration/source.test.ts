import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { SourceMigration } from "../../../runtime/migration/source.js";
import type { SourceOptions } from "../../../runtime/migration/source-prepare.js";
import { Bench, canFreeze } from "./bench.js";

const ID = "00112233445566778899aabbccddeeff";

describe("the source of a migration", function () {
  this.timeout(20_000);
  let bench: Bench;
  beforeEach(function () {
    if (!canFreeze) this.skip();
    bench = new Bench();
    bench.startVictim();
  });
  afterEach(() => bench?.remove());

  function migration(options: Partial<SourceOptions> = {}): SourceMigration {
    return new SourceMigration(bench.source(), {
      migration: ID,
      strategy: "pipelined",
      peer: {
        host: "127.0.0.1",
        port: 1,
        token: "00",
        tls: { ca: "/c", cert: "/c", key: "/k", peerName: "b" },
      },
      tracker: "auto",
      libDir: bench.dir,
      records: bench.records,
      places: bench.places,
      ...options,
    });
  }
  const state = async () => (await bench.records.read(ID))?.state;

  async function untouched(): Promise<void> {
    assert.equal(bench.freezer(), "thawed");
    assert.ok(await bench.runs(), "the container runs");
    assert.deepEqual(readdirSync(bench.places.runDir), []);
  }

  it("goes from running to done, frozen from the switchover on", async () => {
    const move = migration();
    const begun = await move.begin();
    assert.equal(begun.tracker, "uffd");
    assert.equal(begun.pids.length >= 1, true);
    assert.ok(begun.residentBytes > 0);
    await move.round();
    assert.ok(await bench.runs(), "it runs through a round");
    const report = await move.switchover();
    assert.equal(report.finalPages, 2);
    assert.equal(report.skeletonBytes, 1234);
    assert.equal(report.wireBytes, 20000 + 9000 + 1234);
    assert.equal(bench.freezer(), "frozen");
    assert.equal((await move.commit()).state, "committed");
    assert.equal(bench.freezer(), "frozen");
    assert.equal((await move.finish()).state, "done");
    assert.deepEqual(readdirSync(bench.places.runDir), []);
  });

  it("takes no step out of order", async () => {
    const move = migration();
    for (const step of ["round", "switchover", "commit", "finish"] as const) {
      await assert.rejects(move[step](), { code: "wrong-state" }, step);
    }
    await move.begin();
    for (const step of ["begin", "commit", "finish"] as const)
      await assert.rejects(move[step](), { code: "wrong-state" }, step);
    const round = move.round();
    await assert.rejects(move.switchover(), { code: "wrong-state", message: /round is under way/ });
    await round;
    await move.switchover();
    for (const step of ["round", "switchover", "finish"] as const) {
      const other = migration();
      await assert.rejects(other[step](), { code: "wrong-state" }, step);
    }
    await move.rollback("test");
    await untouched();
  });

  it("rolls back from every state, twice if asked", async () => {
    for (const steps of [[], ["begin"], ["begin", "round"], ["begin", "round", "switchover"]] as const) {
      await bench.records.prune(Date.now() + 1000);
      const move = migration();
      for (const step of steps) await move[step]();
      const record = await move.rollback("test");
      assert.equal(record?.state, steps.length ? "rolled-back" : undefined);
      await move.rollback("again");
      if (steps.length) await untouched();
    }
  });

  it("rolls back in the middle of a step", async () => {
    bench.engineDoes({ final: "hang" });
    const move = migration();
    await move.begin();
    const switchover = move.switchover();
    await sleep(100);
    assert.equal(bench.freezer(), "frozen");
    await Promise.all([assert.rejects(switchover), move.rollback("cancelled")]);
    assert.equal(await state(), "rolled-back");
    await untouched();
  });

  for (const [command, trouble] of [
    ["connect", "error"],
    ["begin", "die"],
    ["round", "die"],
    ["round", "garbage"],
    ["final", "die"],
    ["final", "error"],
    ["dump-go", "die"],
    ["files", "die"],
    ["files", "error"],
  ] as const) {
    it(`thaws by itself when the engine's ${command} meets "${trouble}", and keeps the logs`, async () => {
      bench.engineDoes({ [command]: trouble });
      const move = migration();
      const error = await (async () => {
        await move.begin();
        await move.round();
        await move.switchover();
      })().then(
        () => assert.fail("it must fail"),
        (thrown: { code: string; logs?: string }) => thrown,
      );
      assert.match(error.code, /engine-failed|peer-lost|protocol/);
      assert.ok(error.logs && existsSync(`${error.logs}/engine.log`));
      assert.equal(await state(), "rolled-back");
      assert.equal(move.ended, true);
      await untouched();
    });
  }

  it("rolls back when runC cannot dump", async () => {
    bench.trace("broken");
    const move = migration();
    await move.begin();
    await assert.rejects(move.switchover(), { code: "dump-failed" });
    await untouched();
  });

  it("notices that somebody thawed the container", async () => {
    bench.trace("thaws", bench.cgroup().freezerPath);
    const move = migration();
    await move.begin();
    await assert.rejects(move.switchover(), { code: "thawed" });
    assert.equal(await state(), "rolled-back");
    await untouched();
  });

  it("gives a committed container back only to the peer's refusal", async () => {
    const move = migration();
    await move.begin();
    await move.switchover();
    await move.commit();
    assert.equal((await move.rollback("the agent's connection closed"))?.state, "committed");
    assert.equal(bench.freezer(), "frozen");
    assert.equal((await move.rollback("refused"))?.state, "returned");
    await untouched();
  });

  it("copies without rounds in stop-and-copy", async () => {
    const move = migration({ strategy: "stop-and-copy" });
    await move.begin();
    await assert.rejects(move.round(), { code: "wrong-state" });
    const report = await move.switchover();
    assert.equal(report.finalPages, 0);
    await move.rollback("test");
    await untouched();
  });

  it("refuses a container with processes that CRIU would lose", async () => {
    bench.execs = ["shell"];
    await assert.rejects(migration().begin(), { code: "unsupported", message: /shell/ });
    assert.equal(bench.freezer(), "thawed");
  });
});
