import assert from "node:assert/strict";
import { type ReapedChild, Reaper } from "../../../shim/container/reaper.js";

describe("reaper", () => {
  let ends: ReapedChild[] = [];
  const reaper = new Reaper(() => ends.splice(0));
  const signal = async () => {
    process.emit("SIGCHLD", "SIGCHLD");
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  };
  before(() => reaper.start());
  after(() => reaper.stop());
  beforeEach(() => {
    ends = [];
  });

  it("tells the end of a process that is waited for", async () => {
    const exit = reaper.exitOf(10);
    ends.push({ pid: 11, status: 1 }, { pid: 10, status: 137 });
    await signal();
    assert.equal((await exit).status, 137);
  });

  it("remembers an end that came before its pid was known", async () => {
    const start = reaper.expectStart();
    ends.push({ pid: 20, status: 7 });
    await signal();
    assert.equal((await reaper.exitOf(20)).status, 7);
    start.done();
  });

  it("forgets unknown ends when no start is under way, for pids come again", async () => {
    const start = reaper.expectStart();
    ends.push({ pid: 30, status: 7 });
    await signal();
    start.done();
    start.done();
    const exit = reaper.exitOf(30);
    ends.push({ pid: 30, status: 0 });
    await signal();
    assert.equal((await exit).status, 0);
  });
});
