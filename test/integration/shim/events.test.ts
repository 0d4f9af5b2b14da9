/** Events that happen while containerd is away. */
import assert from "node:assert/strict";
import { ShimBench, until } from "./bundle.js";

describe("events", function () {
  this.timeout(30_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());

  it("wait for a containerd that is away, and come in order", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/sh", "-c", "exit 3"]);
    const { task } = await bench.start(id, bundle);
    await task.Create({ id, bundle, rootfs: bench.rootfs() });
    await until(() => bench.events.length === 1);
    await bench.refuseEvents();
    await task.Start({ id });
    assert.equal((await task.Wait({ id })).exitStatus, 3);
    await task.Delete({ id });
    // Beyond the first attempts.
    await new Promise((done) => setTimeout(done, 1500));
    await bench.serveEvents();
    await until(() => bench.events.length >= 4, 15_000);
    assert.deepEqual(bench.topics(), ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]);
    await task.Shutdown({ id });
  });
});
