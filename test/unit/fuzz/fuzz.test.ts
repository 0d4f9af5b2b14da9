/** A few inputs for every target, always the same ones; `make fuzz` looks for others. */
import assert from "node:assert/strict";
import { Found, fuzz } from "../../fuzz/fuzzer.js";
import type { Target } from "../../fuzz/target.js";
import { TARGETS } from "../../fuzz/targets/index.js";

const LIMITS = { seed: 20, iterations: 150, ms: 60_000 };

describe("fuzz", function () {
  this.timeout(90_000);

  for (const target of TARGETS) {
    it(target.name, async () => {
      const { iterations } = await fuzz(target, LIMITS);
      assert.equal(iterations, LIMITS.iterations);
    });
  }

  it("finds what a target does not bear, and gives the input back", async () => {
    const fragile: Target = {
      name: "fragile",
      seeds: [Buffer.from("abc")],
      mutate: (random, input) => Buffer.concat([input, random.bytes(1)]),
      covers: [],
      run: (input) => assert.ok(input.length < 6),
    };
    await assert.rejects(fuzz(fragile, LIMITS), (error) => error instanceof Found && error.input.length >= 6);
  });
});
