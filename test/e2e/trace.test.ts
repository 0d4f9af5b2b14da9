/** `pclive migrate --trace`: the file explains the pause. */
import assert from "node:assert/strict";
import { ChurnContainer } from "../lib/churn.js";
import { coverage, crossing, type ReadTrace, readTrace } from "../lib/trace.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

const ID = "e2e-trace";
const FILE = "/tmp/e2e-trace.json";

/** What the two sides do one after the other, with what follows from it. */
const CAUSES: readonly (readonly [string, string])[] = [
  ["source): shim: freeze", "source): shim: snapshot"],
  ["source): shim: snapshot", "source): shim: skeleton dump"],
  ["source): engine: skeleton sent", "destination): engine: CRIU restores"],
  ["destination): engine: CRIU restores", "destination): shim: record that it is held"],
  ["destination): shim: record that it is held", "source): shim: record the commit"],
  ["source): shim: record the commit", "destination): shim: record that it runs"],
  ["destination): shim: record that it runs", "destination): shim: release"],
];

function beginOf(trace: ReadTrace, what: string): number {
  const span = trace.spans.find((one) => `${one.row}: ${one.name}`.endsWith(what));
  assert.ok(span, `no span ${what}`);
  return span.from;
}

describe("a migration's trace", function () {
  this.timeout(120_000);

  it("nests, covers the pause, and tells of causes before what follows", async () => {
    const lab = await theLab();
    const options = { id: ID, address: freshAddress(), memoryMb: 64, threads: 2, rate: 200 };
    const churn = await ChurnContainer.start(lab, "a", options);
    try {
      await lab.exec("a", ["pclive", "migrate", ID, "b", "--trace", FILE]);
      await assertRuns(lab, "b", ID);
      await churn.verify();
      const trace = readTrace((await lab.exec("a", ["cat", FILE])).stdout);
      assert.deepEqual(crossing(trace.spans), []);
      const { from, to } = trace.pause;
      assert.ok(to > from);
      // Whoever only waits for others explains nothing.
      const busy = trace.spans.filter((span) => !/: (pause|agent|runC)$/.test(span.row));
      const share = coverage(busy, from, to);
      assert.ok(share >= 0.85, `shims, engines and CRIU explain ${(100 * share).toFixed(1)} % of the pause`);
      const all = coverage(
        trace.spans.filter((span) => span.row.endsWith(": pause")),
        from,
        to,
      );
      assert.ok(all >= 0.95, `the chain explains ${(100 * all).toFixed(1)} % of the pause`);
      for (const component of ["agent", "shim", "engine", "runC", "CRIU"])
        for (const role of ["source", "destination"])
          assert.ok(
            trace.spans.some((span) => span.row.endsWith(`(${role}): ${component}`)),
            `nothing of the ${role}'s ${component}`,
          );
      const slack = 1000 * (trace.clockErrorMs + 1);
      for (const [cause, effect] of CAUSES)
        assert.ok(beginOf(trace, cause) <= beginOf(trace, effect) + slack, `${effect} before ${cause}`);
    } finally {
      await churn.remove("a");
      await churn.remove("b");
    }
  });
});
