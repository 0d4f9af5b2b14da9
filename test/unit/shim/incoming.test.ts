import assert from "node:assert/strict";
import { fstatSync } from "node:fs";
import { IncomingInit } from "../../../shim/container/incoming.js";
import { MoveGuard } from "../../../shim/container/move.js";
import { type ReapedChild, Reaper } from "../../../shim/container/reaper.js";
import { ShimError } from "../../../shim/errors.js";
import { MigratedIo } from "../../../shim/io/migrated.js";

const precondition = (error: unknown) => error instanceof ShimError && error.code === "FAILED_PRECONDITION";

describe("incoming task", () => {
  const ends: ReapedChild[] = [];
  const reaper = new Reaper(() => ends.splice(0));
  before(() => reaper.start());
  after(() => reaper.stop());

  function make() {
    const io = new MigratedIo(undefined, undefined, { uid: 0, gid: 0 });
    const seen: (number | "failed")[] = [];
    const hooks = { adopted: (pid: number) => seen.push(pid), failed: () => seen.push("failed") };
    return { io, seen, init: new IncomingInit("m", io, reaper, hooks) };
  }

  it("lets Start answer when the process has come", async () => {
    const { init, seen } = make();
    const started = init.start();
    await init.adopt(42);
    assert.equal(await started, 42);
    assert.deepEqual(seen, [42]);
    await assert.rejects(init.adopt(43), precondition);
    await init.failed({ code: "X", message: "too late" });
    assert.deepEqual(seen, [42]);
  });

  it("knows the end of a process that died before it was adopted", async () => {
    const { init } = make();
    ends.push({ pid: 50, status: 3 });
    process.emit("SIGCHLD", "SIGCHLD");
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    assert.equal((await reaper.exitOf(50)).status, 3);
    await init.adopt(50);
  });

  it("fails Start with the migration's reason, also when that came first", async () => {
    const { init, seen } = make();
    await init.failed({ code: "PEER_LOST", message: "no peer", remedy: "try again" });
    await assert.rejects(init.start(), /migration failed: no peer/);
    await assert.rejects(init.adopt(1), precondition);
    assert.deepEqual(seen, ["failed"]);
  });

  it("has pipes where the source had pipes", async () => {
    const { init, io } = make();
    const fds = await init.restoreStdio(["pipe:[1]", "pipe:[2]", "/dev/null"]);
    assert.deepEqual(
      fds.map((fd) => fstatSync(fd).isFIFO()),
      [true, true, false],
    );
    await assert.rejects(init.restoreStdio([]), precondition);
    init.stdioHandedOver();
    await io.drained();
    await io.close();
  });
});

describe("move guard", () => {
  it("refuses what would disturb a move, and asks it to make way", async () => {
    const guard = new MoveGuard("c");
    const asked: string[] = [];
    const lease = guard.begin({ migration: "m", makeWay: async (why) => void asked.push(why.kind) });
    assert.throws(() => guard.mustBeFree("pause"), precondition);
    assert.throws(() => guard.begin({ migration: "n", makeWay: async () => {} }), precondition);
    await guard.makeWay({ kind: "delete" });
    lease.end();
    lease.end();
    await guard.makeWay({ kind: "kill", signal: 9 });
    guard.mustBeFree("pause");
    assert.deepEqual(asked, ["delete"]);
  });
});
