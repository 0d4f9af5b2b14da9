import assert from "node:assert/strict";
import { MoveGuard } from "../../../shim/container/move.js";

describe("move guard", () => {
  const migration = { migration: "m", makeWay: async () => {} };

  it("a checkpoint that somebody waits for is not disturbed", async () => {
    const guard = new MoveGuard("c");
    const lease = guard.beginCheckpoint("foreground");
    await guard.dismissBackground();
    assert.equal(lease.dismissed.aborted, false);
    assert.throws(() => guard.begin(migration), /a checkpoint of container c is under way/);
    lease.end();
    guard.begin(migration).end();
  });

  it("one in the background is told to go, and the caller waits until it has gone", async () => {
    const guard = new MoveGuard("c");
    const lease = guard.beginCheckpoint("background");
    const free = guard.dismissBackground().then(() => guard.begin(migration));
    assert.equal(lease.dismissed.aborted, true);
    assert.throws(() => guard.mustBeIdle("measure"), /a checkpoint/);
    lease.end();
    const move = await free;
    assert.throws(() => guard.beginCheckpoint("background"), /is being moved by migration m/);
    move.end();
    guard.mustBeIdle("measure");
  });
});
