import assert from "node:assert/strict";
import fc from "fast-check";
import { decide, MAX_ROUNDS, type RoundSample, SMALL_BYTES } from "../../../runtime/checkpoint/policy.js";

const MB = 1024 * 1024;

/** A container of `memory` bytes that writes `rate` bytes a second to `hot` bytes of it, copied at 2 GB/s. */
function simulate(memory: number, rate: number, hot: number): { rounds: RoundSample[]; reason: string } {
  const rounds: RoundSample[] = [];
  let before = 0;
  for (;;) {
    const decision = decide(rounds);
    if (decision.kind === "freeze") return { rounds, reason: decision.reason };
    const bytes = rounds.length === 0 ? memory : Math.min(hot, (rate * before) / 1000);
    const totalMs = 5 + bytes / (2_000_000_000 / 1000);
    rounds.push({ bytes, totalMs, intervalMs: rounds.length === 0 ? 0 : before });
    before = totalMs;
  }
}

describe("when a checkpoint stops copying", () => {
  it("copies everything once, before anything else", () => {
    assert.deepEqual(decide([]), { kind: "round" });
    assert.deepEqual(decide([{ bytes: 2048 * MB, totalMs: 1000, intervalMs: 0 }]), { kind: "round" });
  });

  it("freezes after one round when there is not more than can be read in the dump", () => {
    assert.deepEqual(decide([{ bytes: MB, totalMs: 3, intervalMs: 0 }]), { kind: "freeze", reason: "small" });
  });

  it("goes on as long as it gets less, then freezes", () => {
    const { rounds, reason } = simulate(2048 * MB, 400 * MB, 2048 * MB);
    assert.equal(reason, "small");
    assert.ok(rounds.length >= 2 && rounds.length <= 4, `${rounds.length} rounds`);
    const last = rounds.at(-1);
    assert.ok(last && last.bytes <= 200 * MB);
  });

  it("does not go on for ever when as much is written as is copied", () => {
    const { rounds, reason } = simulate(1024 * MB, 4000 * MB, 1024 * MB);
    assert.equal(reason, "no-gain");
    assert.ok(rounds.length <= 4);
  });

  it("ends whatever the rounds say", () => {
    const sample = fc.record({
      bytes: fc.nat(2 ** 40),
      totalMs: fc.nat(1e6),
      intervalMs: fc.nat(1e6),
    });
    fc.assert(
      fc.property(fc.array(sample, { minLength: MAX_ROUNDS, maxLength: 20 }), (rounds) => {
        assert.equal(decide(rounds).kind, "freeze");
      }),
    );
    const large = { bytes: SMALL_BYTES * 2, totalMs: 100, intervalMs: 100 };
    assert.equal(decide([large]).kind, "round");
  });
});
