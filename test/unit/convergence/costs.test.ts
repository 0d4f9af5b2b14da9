import assert from "node:assert/strict";
import {
  type Costs,
  estimate,
  type PastSwitchover,
  STAGES,
  total,
  type Weight,
} from "../../../runtime/migration/convergence/costs.js";

const MB = 1e6;
const SMALL: Weight = {
  processes: 1,
  mappings: 100,
  pageTableBytes: 0.1 * MB,
  skeletonBytes: 1.4 * MB,
  memoryBytes: 6 * MB,
  roundTripMs: 1,
};
const LARGE: Weight = { ...SMALL, pageTableBytes: 2.1 * MB, memoryBytes: 1000 * MB };
const WHERE = { peer: "b", strategy: "pipelined" };

function times(costs: Costs, factor: number): Costs {
  return Object.fromEntries(STAGES.map((stage) => [stage, costs[stage] * factor])) as Costs;
}

function past(weight: Weight, factor: number, peer = "b"): PastSwitchover {
  return { ...WHERE, peer, weight, costs: times(estimate(weight, WHERE, []), factor) };
}

describe("what a switchover will cost", () => {
  it("more with more page tables, processes and skeleton", () => {
    const base = total(estimate(SMALL, WHERE, []));
    assert.ok(total(estimate(LARGE, WHERE, [])) > base + 1);
    assert.ok(total(estimate({ ...SMALL, processes: 20 }, WHERE, [])) > base + 50);
    assert.ok(total(estimate({ ...SMALL, skeletonBytes: 20 * MB }, WHERE, [])) > base + 30);
    assert.ok(total(estimate({ ...SMALL, roundTripMs: 30 }, WHERE, [])) > base + 60);
  });

  it("what similar ones cost on this host before", () => {
    const guess = total(estimate(SMALL, WHERE, []));
    const learnt = total(estimate(SMALL, WHERE, [past(SMALL, 2), past(SMALL, 2.2), past(SMALL, 1.8)]));
    assert.ok(Math.abs(learnt / guess - 2) < 0.3, `${learnt / guess}`);
  });

  it("what the host shows is trusted for the sizes that it was seen with", () => {
    const history = [past(SMALL, 1), past(LARGE, 2), past(SMALL, 1), past(LARGE, 2)];
    const factor = (weight: Weight) =>
      total(estimate(weight, WHERE, history)) / total(estimate(weight, WHERE, []));
    assert.ok(factor(SMALL) < 1.2, `${factor(SMALL)}`);
    assert.ok(factor(LARGE) > 1.8, `${factor(LARGE)}`);
  });

  it("one odd switchover changes little, an absurd one is bounded", () => {
    const guess = total(estimate(SMALL, WHERE, []));
    const history = [past(SMALL, 1), past(SMALL, 1.1), past(SMALL, 30), past(SMALL, 0.9)];
    assert.ok(total(estimate(SMALL, WHERE, history)) < 1.3 * guess);
    assert.ok(total(estimate(SMALL, WHERE, [past(SMALL, 1000)])) <= 8 * guess);
    const broken = past(SMALL, Number.NaN);
    assert.ok(Number.isFinite(total(estimate(SMALL, WHERE, [broken]))));
  });

  it("another strategy's switchovers tell nothing", () => {
    const other = { ...past(SMALL, 5), strategy: "precopy" };
    assert.deepEqual(estimate(SMALL, WHERE, [other, other]), estimate(SMALL, WHERE, []));
  });
});
