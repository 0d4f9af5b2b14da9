import assert from "node:assert/strict";
import { ConvergencePolicy, FIXED_COSTS_MS, type RoundSample } from "../../../runtime/agent/source/policy.js";

const MB = 1e6;
const FIXED = Object.values(FIXED_COSTS_MS).reduce((sum, ms) => sum + ms, 0);

/** A container that dirties `rate` bytes/s within a working set, over a link of `link` bytes/s. */
function play(options: {
  total: number;
  rate: number;
  workingSet: number;
  link: number;
  targetMs?: number;
  maxRounds?: number;
}) {
  const policy = new ConvergencePolicy({
    targetMs: options.targetMs ?? 100,
    maxRounds: options.maxRounds ?? 30,
    bandwidth: 0,
  });
  let bytes = options.total;
  let intervalMs = 0;
  for (let round = 1; ; round++) {
    const totalMs = 2 + (bytes / options.link) * 1000;
    const sample: RoundSample = { bytes, totalMs, intervalMs, backlogBytes: 0 };
    const { decision, prediction } = policy.after(sample);
    if (decision.kind === "switchover") return { rounds: round, decision, prediction };
    intervalMs = totalMs;
    bytes = Math.min(options.workingSet, (options.rate * totalMs) / 1000);
    assert.ok(round < 1000, "does not end");
  }
}

describe("convergence policy", () => {
  it("switches over an idle container after two rounds", () => {
    const { rounds, decision } = play({
      total: 1000 * MB,
      rate: 0,
      workingSet: 0,
      link: 1000 * MB,
      targetMs: 200,
    });
    assert.equal(rounds, 2);
    assert.equal(decision.reason, "target");
  });

  it("says when the target is below what any switchover takes", () => {
    const { decision, prediction } = play({
      total: 100 * MB,
      rate: 0,
      workingSet: 0,
      link: 1000 * MB,
      targetMs: 10,
    });
    assert.equal(decision.reason, "floor");
    assert.match(decision.detail, /10 ms/);
    assert.ok(prediction.downtimeMs >= FIXED);
  });

  it("goes on while the dirty set shrinks", () => {
    const { rounds, decision } = play({
      total: 2000 * MB,
      rate: 60 * MB,
      workingSet: 1000 * MB,
      link: 117 * MB,
      targetMs: 200,
    });
    assert.ok(rounds > 3, `${rounds} rounds`);
    assert.equal(decision.reason, "target");
  });

  it("gives up waiting for a container that dirties faster than the link sends, and says so", () => {
    const { rounds, decision } = play({
      total: 2000 * MB,
      rate: 400 * MB,
      workingSet: 800 * MB,
      link: 117 * MB,
    });
    assert.equal(decision.reason, "not-converging");
    assert.ok(rounds <= 10, `${rounds} rounds`);
    assert.match(decision.detail, /does not converge/);
  });

  it("stops at the most rounds that the user allows", () => {
    const { rounds, decision } = play({
      total: 2000 * MB,
      rate: 400 * MB,
      workingSet: 800 * MB,
      link: 117 * MB,
      maxRounds: 2,
    });
    assert.equal(rounds, 2);
    assert.equal(decision.reason, "max-rounds");
    assert.equal(play({ total: 1, rate: 0, workingSet: 0, link: 1, maxRounds: 1 }).rounds, 1);
  });

  it("counts the destination's backlog", () => {
    const policy = new ConvergencePolicy({ targetMs: 100, maxRounds: 30, bandwidth: 0 });
    const round = { bytes: 100 * MB, totalMs: 100, intervalMs: 1000 };
    const without = policy.after({ ...round, backlogBytes: 0 }).prediction.downtimeMs;
    const withBacklog = policy.after({ ...round, backlogBytes: 500 * MB }).prediction.downtimeMs;
    assert.ok(withBacklog > without + 300);
  });
});
