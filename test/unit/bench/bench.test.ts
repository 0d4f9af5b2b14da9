import assert from "node:assert/strict";
import { judged } from "../../bench/goals.js";
import { latenciesOf } from "../../bench/latency.js";
import { pauseTables, typical, updated } from "../../bench/pause-table.js";
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

/** A pause from 1 s on. */
function trace(pauseMs: number, spans: readonly (readonly [string, string, number, number])[]) {
  const at = (ms: number): number => 1e6 + 1000 * ms;
  return {
    pause: { from: at(0), to: at(pauseMs) },
    clockErrorMs: 0,
    spans: spans.map(([row, name, from, to]) => {
      return { row, name, pid: 1, tid: 1, from: at(from), to: at(to) };
    }),
  };
}

describe("bench", () => {
  it("tells what each part of the pause takes, in its order, and leaves out what is not in it", () => {
    const moves = [50, 70, 60].map((ms) =>
      trace(ms, [
        ["b (destination): CRIU", "restorer", 30, 40],
        ["a (source): pause", "restore", 20, ms],
        ["a (source): pause", "stop", 0, 20],
        ["a (source): CRIU", "before", -20, -10],
        ["a (source): agent", "switchover", 0, ms],
      ]),
    );
    const lines = pauseTables(moves)
      .split("\n")
      .filter((line) => /\d/.test(line));
    const cells = lines.map((line) => line.split("|").map((cell) => cell.trim()));
    assert.deepEqual(
      cells.map(([, ...row]) => row.slice(0, 5)),
      [
        ["source: pause", "stop", "0.0", "20.0", "20.0–20.0"],
        ["source: pause", "restore", "20.0", "40.0", "30.0–50.0"],
        ["", "**the pause**", "0.0", "60.0", "50.0–70.0"],
        ["destination: CRIU", "restorer", "30.0", "10.0", "10.0–10.0"],
      ],
    );
    assert.equal(typical(moves), moves[2]);
  });

  it("puts figures into their place on a page, and says when there is none", () => {
    const page = "a\n<!-- npm run bench -- pause: begin -->\nold\n<!-- end -->\nb\n";
    const again = updated(updated(page, "new"), "new");
    assert.equal(again, page.replace("old", "new"));
    assert.throws(() => updated("a page", "new"), /no place/);
  });

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
    const usual = [...times(10, [10, 1]), ...times(10, [10, 1])];
    for (const after of [times(20, [9, 1]), [...times(12, [9, 1]), ...times(8, [10, 1])]]) {
      const seen = latenciesOf(load([...usual, ...after], 2000), START + 1000, START + 2000);
      assert.equal(seen.recovery_ms, Number.POSITIVE_INFINITY);
    }
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
