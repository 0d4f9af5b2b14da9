import assert from "node:assert/strict";
import { judged } from "../../bench/goals.js";
import { latenciesOf } from "../../bench/latency.js";
import { cases, chosen, FULL } from "../../bench/plan.js";
import type { Row } from "../../bench/summary.js";
import type { LoadReport } from "../../lib/load.js";

const START = 1_000_000;

/** Windows of 100 ms with 10 requests due each: [received, p99]. */
function load(windows: readonly (readonly [number, number])[], gapEnd: number): LoadReport {
  return {
    start_unix_ms: START,
    gap_end_unix_ms: START + gapEnd,
    windows: windows.map(([received, p99], i) => [100 * i, 10, received, p99]),
  } as unknown as LoadReport;
}

const times = (count: number, window: readonly [number, number]) => Array(count).fill(window);

describe("bench", () => {
  it("takes latencies before and during the rounds, and finds when it is as before", () => {
    const windows = [
      ...times(10, [10, 1]), // before
      ...times(10, [10, 1.5]), // rounds
      ...times(2, [0, 0]), // gap
      ...times(3, [10, 9]), // catching up
      ...times(12, [10, 2]),
    ];
    const { p99_before_ms, p99_rounds_ms, recovery_ms } = latenciesOf(
      load(windows, 2200),
      START + 1000,
      START + 2000,
    );
    assert.deepEqual(
      { p99_before_ms, p99_rounds_ms, recovery_ms },
      {
        p99_before_ms: 1,
        p99_rounds_ms: 1.5,
        recovery_ms: 300,
      },
    );
  });

  it("does not say that clients recovered when they did not", () => {
    const windows = [...times(10, [10, 1]), ...times(10, [10, 1]), ...times(20, [9, 1])];
    assert.ok(Number.isNaN(latenciesOf(load(windows, 2000), START + 1000, START + 2000).recovery_ms));
  });

  it("judges by medians, at least and at most, only what was run", () => {
    const row = (strategy: string, gap: number, cpu: number): Row =>
      ({
        workload: "read-heavy",
        memory_mb: 2048,
        link_mbit: 10_000,
        strategy,
        client_gap_ms: gap,
        source_cpu_ms: cpu,
      }) as unknown as Row;
    const rows = [
      ...[540, 600, 9000].map((gap) => row("precopy", gap, 100)),
      ...[10, 100, 110].map((gap) => row("pipelined", gap, 116)),
    ];
    const lines = judged(rows).split("\n");
    assert.match(lines.find((line) => line.includes("below that of precopy")) ?? "", /6\.00x.*reached/);
    assert.match(lines.find((line) => line.includes("processor time")) ?? "", /1\.16x.*missed/);
    assert.equal(lines.filter((line) => /idle|write-heavy|3 GB/.test(line)).length, 0);
  });

  it("plans each case as often as told, strategies in turn", () => {
    const all = cases(FULL);
    assert.equal(all.length, 5 * 13);
    assert.equal(new Set(all.map((test) => JSON.stringify(test))).size, all.length);
    const own = cases(chosen({ workloads: ["idle"], memoryMb: [8] }, 2));
    assert.deepEqual(
      own.map((test) => test.strategy),
      ["precopy", "pipelined", "precopy", "pipelined"],
    );
  });
});
