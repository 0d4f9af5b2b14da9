import assert from "node:assert/strict";
import fc from "fast-check";
import type { Costs } from "../../../runtime/migration/convergence/costs.js";
import { ConvergencePolicy, type PolicyOptions } from "../../../runtime/migration/convergence/policy.js";
import { simulate } from "../../../runtime/migration/convergence/simulate.js";
import { growing, MB, phased, recorded, steady, writer } from "./writers.js";

const COSTS: Costs = { stop: 8, snapshot: 4, dump: 30, send: 14, restore: 30, ready: 12, commit: 22 };
const FIXED = 120;
const GIGABIT = 117 * MB;
const TEN_GIGABIT = 1100 * MB;

function play(
  container: Parameters<typeof simulate>[0],
  throughput: number,
  options: Partial<PolicyOptions> = {},
) {
  return simulate(
    container,
    { throughput, costs: COSTS },
    {
      targetMs: 150,
      maxRounds: 200,
      maxMs: 300_000,
      bandwidth: 0,
      autoConverge: false,
      stageAfter: 0,
      ...options,
    },
  );
}

function within(share: number, predicted: number, real: number): void {
  assert.ok(
    Math.abs(predicted - real) <= share * real,
    `predicted ${predicted.toFixed(0)} ms, is ${real.toFixed(0)} ms`,
  );
}

describe("when a migration switches over", () => {
  it("an idle container: after two rounds", () => {
    const { rounds, decision, downtimeMs } = play(steady(1000 * MB, MB, 0), TEN_GIGABIT);
    assert.equal(rounds, 2);
    assert.equal(decision.reason, "target");
    assert.ok(downtimeMs <= 150);
  });

  it("a target below what any switchover takes: says so at once", () => {
    const { rounds, decision } = play(steady(100 * MB, MB, 0), TEN_GIGABIT, { targetMs: 10 });
    assert.equal(rounds, 2);
    assert.equal(decision.reason, "floor");
    assert.match(decision.detail, /10 ms.*\d+ ms/);
  });

  it("a target just below what can be had on a slow link: does not wait for what little there is to gain", () => {
    // A sixth of the link: some megabytes are left whatever is done.
    const outcome = play(steady(1000 * MB, 500 * MB, 20 * MB), GIGABIT, { targetMs: 100 });
    assert.equal(outcome.decision.reason, "floor");
    assert.ok(outcome.rounds <= 5, `${outcome.rounds} rounds`);
    assert.ok(outcome.downtimeMs < 1.2 * FIXED, `${outcome.downtimeMs} ms`);
  });

  it("a container that writes less than the link carries: rounds get shorter until the target is met", () => {
    const { rounds, decision, downtimeMs, predicted } = play(steady(2000 * MB, 1000 * MB, 60 * MB), GIGABIT);
    assert.equal(decision.reason, "target");
    assert.ok(rounds >= 3 && rounds <= 10, `${rounds} rounds`);
    within(0.2, predicted.downtimeMs, downtimeMs);
  });

  it("a large container whose target is met after two rounds: takes a third, which costs next to nothing", () => {
    const container = steady(3000 * MB, 400 * MB, 20 * MB);
    const outcome = play(container, 450 * MB);
    const two = play(container, 450 * MB, { maxRounds: 2 });
    assert.equal(outcome.decision.reason, "target");
    assert.equal(outcome.rounds, 3);
    assert.ok(outcome.totalMs < 1.02 * two.totalMs, `${outcome.totalMs} against ${two.totalMs} ms`);
    assert.ok(outcome.predicted.finalBytes < two.predicted.finalBytes / 2);
    assert.ok(outcome.downtimeMs <= two.downtimeMs);
  });

  it("a container that writes faster than the link carries: gives up after a while, and says so", () => {
    const outcome = play(steady(2000 * MB, 800 * MB, 400 * MB), GIGABIT);
    assert.equal(outcome.decision.reason, "not-converging");
    assert.match(outcome.decision.detail, /does not converge/);
    assert.ok(outcome.totalMs < 60_000, `${outcome.totalMs} ms`);
    within(0.25, outcome.predicted.downtimeMs, outcome.downtimeMs);
  });

  it("a container with quiet phases: waits for one", () => {
    const container = phased(1000 * MB, 500 * MB, 600 * MB, 3000, 2000);
    const outcome = play(container, 300 * MB);
    const busy = play(steady(1000 * MB, 500 * MB, 600 * MB), 300 * MB);
    assert.ok(["target", "quiet", "floor"].includes(outcome.decision.reason), outcome.decision.reason);
    assert.ok(
      outcome.downtimeMs < busy.downtimeMs / 2,
      `${outcome.downtimeMs} against ${busy.downtimeMs} ms`,
    );
  });

  it("a container with short bursts: the pause is that between the bursts", () => {
    const { decision, downtimeMs } = play(phased(1000 * MB, 200 * MB, 500 * MB, 300, 900), 400 * MB);
    assert.notEqual(decision.reason, "not-converging");
    assert.ok(downtimeMs < 2 * FIXED, `${downtimeMs} ms`);
  });

  it("a container that writes more and more: does not wait for what will not come", () => {
    const { decision, totalMs } = play(growing(1000 * MB, 900 * MB, 200 * MB, 100 * MB), GIGABIT);
    assert.equal(decision.reason, "not-converging");
    assert.ok(totalMs < 60_000, `${totalMs} ms`);
  });

  it("throttles a container only when asked to, step by step, and then the target is met", () => {
    const container = steady(1000 * MB, 800 * MB, 300 * MB);
    assert.equal(play(container, GIGABIT).share, 1);
    const { share, decision, downtimeMs } = play(container, GIGABIT, { autoConverge: true });
    assert.ok(share < 1 && share >= 0.1);
    assert.equal(decision.reason, "target");
    assert.ok(downtimeMs <= 200, `${downtimeMs} ms`);
  });

  it("a container that no throttle helps goes in the end", () => {
    const { share, decision } = play(steady(1000 * MB, 800 * MB, 50_000 * MB), GIGABIT, {
      autoConverge: true,
    });
    assert.equal(decision.reason, "not-converging");
    assert.ok(Math.abs(share - 0.1) < 1e-9);
  });

  it("stops at the most rounds, or the time, that the user allows", () => {
    const container = steady(2000 * MB, 800 * MB, 400 * MB);
    const few = play(container, GIGABIT, { maxRounds: 2 });
    assert.equal(few.rounds, 2);
    assert.equal(few.decision.reason, "max-rounds");
    assert.equal(play(container, GIGABIT, { maxRounds: 1 }).rounds, 1);
    const short = play(container, GIGABIT, { maxMs: 20_000 });
    assert.equal(short.decision.reason, "max-time");
    assert.ok(short.totalMs < 40_000);
  });

  it("counts the destination's backlog", () => {
    const policy = () =>
      new ConvergencePolicy({
        targetMs: 150,
        maxRounds: 9,
        maxMs: 1e6,
        bandwidth: 0,
        autoConverge: false,
        stageAfter: 0,
      });
    const round = { bytes: 100 * MB, totalMs: 100, intervalMs: 1000, costs: COSTS };
    const without = policy().after({ ...round, backlogBytes: 0 }).prediction.downtimeMs;
    const withBacklog = policy().after({ ...round, backlogBytes: 500 * MB }).prediction.downtimeMs;
    assert.ok(withBacklog > without + 300);
  });

  /** Decisions of a policy that is told of these backlogs, one after each round of an idle container. */
  function backlogs(stageAfter: number, megabytes: readonly number[]): string[] {
    const options = {
      targetMs: 120,
      maxRounds: 99,
      maxMs: 1e6,
      bandwidth: 0,
      autoConverge: false,
      stageAfter,
    };
    const policy = new ConvergencePolicy(options);
    return megabytes.map((left, i) => {
      const bytes = i === 0 ? 1000 * MB : 5 * MB;
      const intervalMs = i === 0 ? 0 : 210;
      const round = { bytes, totalMs: bytes / MB, intervalMs, costs: COSTS, backlogBytes: left * MB };
      const { decision } = policy.after(round);
      return decision.kind === "switchover" ? decision.reason : decision.kind;
    });
  }

  it("waits for the destination to put in place what waits there, as long as that gets on", () => {
    const waiting = backlogs(3, [1000, 1003, 1005, 800, 500, 200, 0]);
    assert.deepEqual(waiting.slice(0, 6), Array(6).fill("round"));
    assert.notEqual(waiting[6], "round");
  });

  it("does not wait for ever for a destination that does not get on", () => {
    const decisions = backlogs(0, Array(40).fill(1000));
    assert.ok(decisions.includes("not-converging"), decisions.join(" "));
  });

  it("predicts what a recorded Redis does within a fifth", () => {
    // 1 GB, 2000 requests a second, nine of ten are SETs: ms since the last look, bytes dirty (pclive dirty-rate).
    const redis = recorded(1009 * MB, [
      [50, 1.9 * MB],
      [100, 3.6 * MB],
      [310, 8.8 * MB],
      [1000, 25 * MB],
      [4535, 78.2 * MB],
      [20_000, 260 * MB],
    ]);
    for (const throughput of [GIGABIT, 250 * MB, TEN_GIGABIT]) {
      const { predicted, downtimeMs, rounds } = play(redis, throughput);
      within(0.2, predicted.downtimeMs, downtimeMs);
      assert.ok(rounds <= 5, `${rounds} rounds`);
    }
  });

  it("ends whatever happens, within its bounds", () => {
    const size = fc.integer({ min: 1, max: 64_000 }).map((mb) => mb * MB);
    fc.assert(
      fc.property(
        size,
        size,
        fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 5000 }),
        fc.boolean(),
        (memory, hot, rates, throughput, autoConverge) => {
          const rate = (at: number) => (rates[Math.floor(at / 700) % rates.length] ?? 0) * MB;
          const options = { autoConverge, maxRounds: 100, maxMs: 60_000 };
          const container = { ...writer(memory, Math.min(hot, memory), rate) };
          // Only the outcome is of interest: a coarse integral is enough.
          const coarse = {
            memoryBytes: memory,
            dirtied: (from: number, to: number, share: number) =>
              Math.min(memory, container.dirtied(from, Math.min(to, from + 2000), share)),
          };
          const { rounds, downtimeMs } = play(coarse, throughput * MB, options);
          assert.ok(rounds <= 100);
          assert.ok(Number.isFinite(downtimeMs) && downtimeMs >= FIXED * 0.9);
        },
      ),
      { numRuns: 200 },
    );
  });
});
