/**
 * Containers that write faster than the link carries: slowed down only when asked to, and never for longer than the migration.
 * And how fast they write, measured without moving them.
 */
import assert from "node:assert/strict";
import type { pclive } from "#protos/agent";
import type { Lab } from "../lab/lab.js";
import { ChurnContainer } from "../lib/churn.js";
import { migrate } from "../lib/migrate.js";
import { assertEmpty, assertRuns, freshAddress, theLab } from "./setup.js";

const ID = "e2e-busy";
/** Far below what it writes. */
const SLOW = "4M";

describe("a container that writes faster than the link carries", function () {
  this.timeout(240_000);
  let lab: Lab;
  let churn: ChurnContainer;
  let host = "a";

  before(async () => {
    lab = await theLab();
    churn = await ChurnContainer.start(lab, host, {
      id: ID,
      address: freshAddress(),
      memoryMb: 32,
      threads: 2,
      rate: 2000,
    });
  });

  after(async () => {
    await churn?.remove("a");
    await churn?.remove("b");
  });

  /** The container's processor quota, as the kernel has it. */
  async function quota(where: string): Promise<string> {
    const script = `pid=$(ctr task ls | awk '$1 == "${ID}" { print $2 }')
      v1=$(sed -n 's/^[0-9]*:[^:]*\\bcpu\\b[^:]*:\\(.*\\)/\\1/p' /proc/$pid/cgroup)
      v2=$(sed -n 's/^0::\\(.*\\)/\\1/p' /proc/$pid/cgroup)
      cat /sys/fs/cgroup/cpu*/$v1/cpu.cfs_quota_us /sys/fs/cgroup/$v2/cpu.max 2>/dev/null | head -n 1`;
    return (await lab.exec(where, ["sh", "-c", script])).stdout.trim();
  }

  it("is measured: looks, working set, and what a migration would come to; nothing stays behind", async () => {
    const words = ["pclive", "dirty-rate", ID, "--for", "4s", "--bandwidth", SLOW, "--json"];
    const { stdout } = await lab.exec(host, words);
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as pclive.agent.v1.IDirtyRateEvent);
    const report = events.at(-1)?.report;
    assert.ok(report?.prediction);
    assert.ok((report.memoryBytes ?? 0) > 15e6, `${report.memoryBytes} bytes of memory`);
    assert.ok((report.medianRate ?? 0) > 4e6, `${report.medianRate} bytes/s`);
    assert.ok((report.writtenBytes ?? 0) <= 2 * (report.memoryBytes ?? 0));
    assert.equal(report.prediction.reason, "not-converging");
    assert.ok((report.prediction.downtimeMs ?? 0) > (report.prediction.fixedMs ?? 0));
    assert.ok(events.filter((event) => event.look).length >= 4);
    await churn.verify();
    const engines = await lab.exec(host, ["sh", "-c", "pgrep -fa '[p]clive-engine' || true"]);
    assert.equal(engines.stdout.trim(), "");
  });

  it("stays when it was asked to, and is as fast as before", async () => {
    const before = await quota(host);
    const result = await migrate(lab, host, ID, "b", {
      bandwidth: SLOW,
      autoConverge: true,
      timeout: "16s",
      notConverging: "stay",
    });
    assert.equal(result.failure?.code, "NOT_CONVERGING");
    await assertRuns(lab, host, ID);
    assert.equal(await quota(host), before);
    await churn.verify();
  });

  it("is slowed down step by step, moves, and is as fast as before at the other host", async () => {
    const before = await quota(host);
    const seen: string[] = [];
    const slowed: string[] = [];
    const result = await migrate(
      lab,
      host,
      ID,
      "b",
      { bandwidth: SLOW, autoConverge: true, downtime: "150ms", timeout: "90s" },
      (event) => {
        if (event.phase?.name !== "throttle") return;
        slowed.push(event.phase.detail ?? "");
        void quota(host).then((text) => seen.push(text));
      },
    );
    assert.ok(result.report, result.stderr);
    assert.ok(slowed.length >= 1, "it was not slowed down");
    assert.ok(
      seen.some((text) => text !== before && text !== ""),
      `the kernel's quota stayed ${before}: ${seen.join(", ")}`,
    );
    assert.ok((result.report.throttledTo ?? 0) > 0);
    host = "b";
    await assertRuns(lab, host, ID);
    assert.equal(await quota(host), before);
    await churn.verify();
    await assertEmpty(lab, "a");
  });
});
