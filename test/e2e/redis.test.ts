/**
 * A loaded Redis moves, by every strategy; its clients lose nothing and its data is the same.
 */
import assert from "node:assert/strict";
import { moveRedis } from "../lib/move-redis.js";
import { assertEmpty, freshAddress, theLab } from "./setup.js";

describe("a Redis under load", function () {
  this.timeout(240_000);

  for (const strategy of ["pipelined", "precopy", "stop-and-copy"]) {
    it(`moves by ${strategy}: no request lost, no connection broken, the same digest`, async () => {
      const lab = await theLab();
      const moved = await moveRedis(lab, {
        id: `e2e-${strategy}`,
        address: freshAddress(),
        from: "a",
        to: "b",
        memoryMb: 200,
        valueBytes: 4096,
        load: { rate: 1000, reads: 0.5, connections: 4 },
        migrate: { strategy },
        settleMs: 1000,
        warmMb: 0,
      });
      assert.equal(moved.digestAfter, moved.digestBefore);
      assert.equal(moved.load.lost, 0);
      assert.equal(moved.load.wrong + moved.load.errors, 0, moved.load.first_wrong);
      assert.equal(moved.load.broken_connections, 0);
      assert.doesNotMatch(moved.tasksFrom, new RegExp(`e2e-${strategy}`));
      assert.match(moved.tasksTo, new RegExp(`e2e-${strategy} .*RUNNING`));
      assert.equal(moved.report.frozenInRoundsMs ?? 0, 0, "frozen in a round");
      await assertEmpty(lab, "a");
      await assertEmpty(lab, "b");
    });
  }
});
