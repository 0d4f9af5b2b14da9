/**
 * check, status and cancel, as a user calls them.
 */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { type Event, migrate } from "../lib/migrate.js";
import { RedisContainer } from "../lib/redis.js";
import { assertEmpty, assertRuns, freshAddress, theLab } from "./setup.js";

const ID = "e2e-cancel";

describe("check, status, cancel", function () {
  this.timeout(120_000);
  let lab: Lab;
  let redis: RedisContainer;

  before(async () => {
    lab = await theLab();
    redis = await RedisContainer.start(lab, "a", {
      id: ID,
      address: freshAddress(),
      memoryMb: 300,
      valueBytes: 4096,
    });
    await redis.populate();
  });

  after(async () => {
    await lab.shape("off");
    await redis.remove("a");
    await assertEmpty(lab, "a");
    await assertEmpty(lab, "b");
  });

  it("check says that it can be moved, and touches nothing", async () => {
    const { stdout } = await lab.exec("a", ["pclive", "check", ID, "b"]);
    assert.match(stdout, /this container can be moved/);
    await assertEmpty(lab, "b");
  });

  it("status shows a migration under way, cancel ends it, the container runs on", async () => {
    await lab.shape(100); // slow enough to look at
    let status = "";
    let asked: Promise<unknown> = Promise.resolve();
    const result = await migrate(lab, "a", ID, "b", {}, (event: Event) => {
      if (event.phase?.name !== "round" || status !== "") return;
      status = "asked";
      asked = lab.exec("a", ["pclive", "status"]).then(async (answer) => {
        status = answer.stdout;
        await lab.exec("a", ["pclive", "cancel", ID]);
      });
    });
    await asked;
    assert.match(status, new RegExp(`default/${ID}`));
    assert.equal(result.exitCode, 5, result.stderr);
    assert.equal(result.failure?.containerRunsHere, true);
    await assertRuns(lab, "a", ID);
    await redis.verify();
    await assertEmpty(lab, "b");
  });
});
