/**
 * A loaded Redis moves between hosts whose kernel has soft-dirty and cgroup v2, by both ways of tracking.
 * Run by test/softdirty/run.sh, which starts the hosts and names them by LAB_COMMAND.
 */
import assert from "node:assert/strict";
import { assertEmpty, assertRuns } from "../e2e/setup.js";
import { Lab } from "../lab/lab.js";
import { ChurnContainer } from "../lib/churn.js";
import { migrateOrThrow } from "../lib/migrate.js";
import { type Moved, moveRedis } from "../lib/move-redis.js";

/** Under emulation a guest does a few hundred requests a second and copies some ten MB/s. */
const LOAD = { rate: 100, reads: 0.5, connections: 2 };
const DOWNTIME = "5s";

async function move(lab: Lab, tracker: string, address: string): Promise<Moved> {
  return moveRedis(lab, {
    id: `guest-${tracker}`,
    address,
    from: "a",
    to: "b",
    memoryMb: 96, // makes some 60 MB of pages
    valueBytes: 1024,
    load: LOAD,
    migrate: { tracker, downtime: DOWNTIME, timeout: "120s" },
    settleMs: 1000,
    warmMb: 0,
    say: (line) => console.log(`      ${line}`),
  });
}

describe("an older kernel", function () {
  this.timeout(200_000);
  const lab = new Lab("softdirty");

  it("has soft-dirty and cgroup v2 only", async () => {
    const { stdout } = await lab.exec("a", [
      "sh",
      "-c",
      "uname -r; stat -fc %T /sys/fs/cgroup; cat /sys/fs/cgroup/cgroup.controllers",
    ]);
    const [kernel, type, controllers] = stdout.trim().split("\n");
    assert.match(kernel ?? "", /^6\.12\./);
    assert.equal(type, "cgroup2fs");
    assert.match(controllers ?? "", /cpu .*memory .*pids/);
  });

  for (const [index, tracker] of ["soft-dirty", "uffd"].entries()) {
    it(`moves a Redis under load with ${tracker}: no request lost, the same data`, async () => {
      const moved = await move(lab, tracker, `10.10.20.${index + 1}`);
      describeMove(moved);
      assert.equal(moved.digestAfter, moved.digestBefore);
      assert.equal(moved.report.tracker, tracker);
      const later = (moved.report.rounds ?? []).slice(1);
      assert.ok(
        later.some((round) => (round.pages ?? 0) > 0),
        "no round after the first found a written page",
      );
      assert.equal(moved.load.lost, 0, "requests lost");
      assert.equal(moved.load.wrong + moved.load.errors, 0, moved.load.first_wrong);
      assert.equal(moved.load.broken_connections, 0, "connections broken");
      assert.match(moved.tasksTo, new RegExp(`guest-${tracker} .*RUNNING`));
      assert.doesNotMatch(moved.tasksFrom, new RegExp(`guest-${tracker}`));
      await assertEmpty(lab, "a");
      await assertEmpty(lab, "b");
    });
  }

  it("moves churn there and back with soft-dirty: never a wrong byte", async () => {
    const id = "guest-churn";
    const churn = await ChurnContainer.start(lab, "a", {
      id,
      address: "10.10.20.9",
      memoryMb: 24,
      threads: 2,
      rate: 200,
    });
    try {
      let operations = await churn.verify();
      for (const [from, to] of [
        ["a", "b"],
        ["b", "a"],
      ] as const) {
        const report = await migrateOrThrow(lab, from, id, to, {
          tracker: "soft-dirty",
          downtime: DOWNTIME,
          timeout: "120s",
        });
        assert.equal(report.tracker, "soft-dirty");
        await assertRuns(lab, to, id);
        const now = await churn.verify();
        assert.ok(now > operations, `on ${to}: no operation since the last look (${now})`);
        operations = now;
        await assertEmpty(lab, from);
      }
    } finally {
      await churn.remove("a");
      await churn.remove("b");
    }
  });
});

/** The engine's own test, here with soft-dirty: after each kind of change the peer's copy is compared page by page. */
const ORACLE = "/repo/build/test/source_rounds";

describe("soft-dirty tracking", function () {
  this.timeout(120_000);
  const lab = new Lab("softdirty");

  it("misses no change of memory, of whatever kind", async () => {
    // With huge pages everywhere "only what was written is sent" would not hold: they are written as a whole.
    const script = `echo madvise >/sys/kernel/mm/transparent_hugepage/enabled; PCLIVE_TEST_TRACKER=soft-dirty ${ORACLE} step`;
    const { stdout } = await lab.exec("a", ["sh", "-c", script], { timeoutMs: 100_000, allowFailure: true });
    await lab.exec("a", ["sh", "-c", "echo always >/sys/kernel/mm/transparent_hugepage/enabled"]);
    assert.equal(stdout.trim(), "ok - step by step");
  });
});

function describeMove(moved: Moved): void {
  const { report, load } = moved;
  const rounds = (report.rounds ?? []).map(
    (round) => `${round.pages ?? 0} pages in ${Math.round(round.ms ?? 0)} ms`,
  );
  console.log(
    `      ${report.tracker ?? "?"}: rounds: ${rounds.join(", ")}; final ${Number(report.finalBytes ?? 0) >> 10} KiB`,
  );
  console.log(
    `      downtime ${Math.round(report.downtimeMs ?? 0)} ms, client's gap ${Math.round(load.client_gap_ms)} ms, total ${Math.round(report.totalMs ?? 0)} ms`,
  );
}
