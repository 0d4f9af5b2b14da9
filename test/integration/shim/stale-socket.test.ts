/** A shim that comes after one that was killed, and finds its socket. */
import assert from "node:assert/strict";
import { ShimBench, until } from "./bundle.js";

describe("a shim in the place of one that was killed", function () {
  this.timeout(60_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());

  it("sees the end of every process", async () => {
    const first = bench.makeBundle(["/bin/true"]);
    const old = await bench.start(first.id, first.bundle);
    const { shimPid } = await old.task.Connect({ id: first.id });
    process.kill(shimPid, "SIGKILL");
    await until(() => old.client.closed.aborted);
    const { task } = await bench.start(first.id, first.bundle);
    for (let round = 0; round < 8; round++) {
      await task.Create({ ...first, rootfs: bench.rootfs() });
      await task.Start({ id: first.id });
      const { exitStatus } = await task.Wait({ id: first.id }, { timeoutMs: 5000 });
      assert.equal(exitStatus, 0);
      await task.Delete({ id: first.id });
    }
    await task.Shutdown({ id: first.id });
  });
});
