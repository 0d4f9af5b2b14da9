import assert from "node:assert/strict";
import type { Moved } from "../../bench/evaluation/outcome.js";
import { typical } from "../../bench/evaluation/pictures.js";
import { keyOf, planned } from "../../bench/evaluation/plan.js";
import { markdownTable, tableOf } from "../../bench/evaluation/tables.js";

const moved = (strategy: string, gapMs: number, repetition: number): Moved => ({
  kind: "moved",
  ...{ workload: "ycsb-a", memoryMb: 256, linkMbit: 1000, strategy, repetition },
  ...{ gapMs, downtimeMs: gapMs, totalMs: 1000, restoreMs: 50, wireBytes: 3e8, rounds: 2 },
  pause: [],
  throughput: { before: 1000, during: 900, after: 1000 },
  ...{ p99BeforeMs: 1, p99DuringMs: null, recoveryMs: null, series: [] },
  source: { cpuMs: 1500, peakBytes: 1e6, cpus: [], megabytes: [] },
  destination: { cpuMs: 500, peakBytes: 3e8, cpus: [], megabytes: [] },
});

describe("evaluation", () => {
  it("plans each case once, and delays only what the command can delay", () => {
    for (const full of [false, true]) {
      const all = planned({ full }, true).map(keyOf);
      assert.equal(new Set(all).size, all.length);
      assert.equal(
        all.some((name) => name.includes("delayed")),
        full,
      );
      assert.ok(!planned({ full }, false).some(({ strategy }) => strategy.startsWith("delayed")));
    }
  });

  it("takes a part of the plan, or all combinations of what is chosen", () => {
    const part = planned({ full: false, workloads: ["ycsb-b"] }, false);
    assert.deepEqual(part.map(keyOf), ["ycsb-b 256 MB 10000 Mbit/s pipelined #1"]);
    const choice = { full: false, workloads: ["ycsb-b"], strategies: ["precopy"], memoryMb: [64, 128] };
    assert.deepEqual(planned({ ...choice, repetitions: 2 }, false).map(keyOf), [
      "ycsb-b 64 MB 10000 Mbit/s precopy #1",
      "ycsb-b 128 MB 10000 Mbit/s precopy #1",
      "ycsb-b 64 MB 10000 Mbit/s precopy #2",
      "ycsb-b 128 MB 10000 Mbit/s precopy #2",
    ]);
  });

  it("shows medians and spreads, and draws the typical move", () => {
    const all = [
      moved("pipelined", 150, 1),
      moved("precopy", 900, 1),
      ...[90, 400].map((gap, i) => moved("pipelined", gap, 2 + i)),
    ];
    assert.deepEqual(
      typical(all).map(({ strategy, gapMs }) => [strategy, gapMs]),
      [
        ["pipelined", 150],
        ["precopy", 900],
      ],
    );
    const [head = [], ...rows] = tableOf(all);
    assert.deepEqual(
      rows.map((row) => [
        row[1],
        row[head.indexOf("n")],
        row[head.indexOf("gap ms")],
        row[head.indexOf("in rounds")],
      ]),
      [
        ["precopy", "1", "900 (900–900)", "90 %"],
        ["pipelined", "3", "150 (90–400)", "90 %"],
      ],
    );
    assert.equal(markdownTable(tableOf(all)).split("\n").length, 4);
  });
});
