import assert from "node:assert/strict";
import { giveBackMemory } from "#addon";
import { Quiet } from "../../../shim/service/quiet.js";

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("quiet", () => {
  it("acts once after a busy time, and not after a single event", async () => {
    let acted = 0;
    const quiet = new Quiet(() => acted++, 20);
    quiet.disturb();
    await sleep(60);
    assert.equal(acted, 0);
    for (let n = 0; n < 50; n++) quiet.disturb();
    while (acted === 0) await sleep(5);
    await sleep(60);
    assert.equal(acted, 1);
  });

  it("gives garbage back", async () => {
    let garbage: number[][] | undefined = Array.from({ length: 200 }, () =>
      new Array<number>(20_000).fill(1.5),
    );
    const full = process.memoryUsage().heapUsed;
    assert.equal(garbage.length, 200);
    garbage = undefined;
    // What this very turn has touched may still be on the stack.
    await sleep(1);
    giveBackMemory();
    assert.ok(process.memoryUsage().heapUsed < full - 20_000_000);
  });
});
