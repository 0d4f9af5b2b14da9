/**
 * The options that say how memory travels and is put in place: whatever they are, every byte is right.
 */
import type { Lab } from "../lab/lab.js";
import { ChurnContainer } from "../lib/churn.js";
import { type MigrateWords, migrateOrThrow } from "../lib/migrate.js";
import { assertEmpty, assertRuns, freshAddress, theLab } from "./setup.js";

const ID = "e2e-pacing";
const MOVES: readonly [string, MigrateWords][] = [
  ["four streams", { streams: 4 }],
  ["staged after the second round", { stageAfter: 2 }],
  ["three streams, staged after the third round", { streams: 3, stageAfter: 3 }],
  ["staged in the pause, for there are no rounds after it", { stageAfter: 1, maxRounds: 2 }],
  ["most of the host left idle, as far as it goes", { headroom: 90 }],
  ["half a processor for each engine", { cpu: 50, streams: 2, stageAfter: 1 }],
];

describe("how memory travels", function () {
  this.timeout(240_000);
  let lab: Lab;
  let churn: ChurnContainer;
  let from: "a" | "b" = "a";

  before(async () => {
    lab = await theLab();
    churn = await ChurnContainer.start(lab, from, {
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

  for (const [name, words] of MOVES)
    it(name, async () => {
      const to: "a" | "b" = from === "a" ? "b" : "a";
      await migrateOrThrow(lab, from, ID, to, { maxRounds: 8, ...words });
      await assertRuns(lab, to, ID);
      await churn.verify();
      await assertEmpty(lab, from);
      from = to;
    });
});
