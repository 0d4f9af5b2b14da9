/**
 * Twenty moves in a row, back and forth, of a program that checks every byte of its ever-changing memory.
 */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { ChurnContainer } from "../lib/churn.js";
import { migrateOrThrow } from "../lib/migrate.js";
import { assertEmpty, assertRuns, freshAddress, theLab } from "./setup.js";

const MOVES = 20;
const ID = "e2e-churn";

describe("churn", function () {
  this.timeout(600_000);
  let lab: Lab;
  let churn: ChurnContainer;

  before(async () => {
    lab = await theLab();
    churn = await ChurnContainer.start(lab, "a", {
      id: ID,
      address: freshAddress(),
      memoryMb: 128,
      threads: 4,
      rate: 400,
    });
  });

  after(async () => {
    await churn?.remove("a");
    await churn?.remove("b");
  });

  it(`${MOVES} moves back and forth: never a wrong byte, and it goes on working`, async () => {
    let operations = await churn.verify();
    let from: "a" | "b" = "a";
    for (let move = 1; move <= MOVES; move++) {
      const to: "a" | "b" = from === "a" ? "b" : "a";
      await migrateOrThrow(lab, from, ID, to, { maxRounds: 4 });
      await assertRuns(lab, to, ID);
      const now = await churn.verify();
      assert.ok(now > operations, `move ${move}: no operation since the last (${now})`);
      operations = now;
      await assertEmpty(lab, from);
      from = to;
    }
  });
});
