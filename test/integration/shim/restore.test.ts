/** Checkpoint and restore by runC and CRIU; and a restore that a migration brings. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { containerd, pclive } from "#protos/shim";
import { Code, TtrpcError } from "#ttrpc";
import { ShimBench, until } from "./bundle.js";

const { Status } = containerd.v1.types;
const COUNTER = ["/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"];

describe("restore", function () {
  this.timeout(60_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());
  const numbers = (path: string) => readFileSync(path, "utf8").trim().split("\n").map(Number);

  async function counter() {
    const { id, bundle } = bench.makeBundle(COUNTER);
    const { task } = await bench.start(id, bundle);
    const stdout = join(bundle, "out.txt");
    await task.Create({ id, bundle, rootfs: bench.rootfs(), stdout: `file://${stdout}` });
    await task.Start({ id });
    await until(() => existsSync(stdout) && numbers(stdout).length > 5);
    return { id, bundle, stdout, task };
  }

  it("goes on where a checkpoint with exit ended", async () => {
    const { id, stdout, task } = await counter();
    const images = join(bench.folder, "images");
    mkdirSync(images);
    const { CheckpointOptions } = containerd.runc.v1;
    const options = {
      type_url: "containerd.runc.v1.CheckpointOptions",
      value: CheckpointOptions.encode({ exit: true }).finish(),
    };
    await task.Checkpoint({ id, path: images, options });
    await task.Wait({ id });
    await task.Delete({ id });
    await task.Shutdown({ id });
    const last = numbers(stdout).at(-1) ?? 0;
    const next = bench.makeBundle(COUNTER);
    const shim = await bench.start(next.id, next.bundle);
    const out = join(next.bundle, "out.txt");
    const made = await shim.task.Create({
      ...next,
      rootfs: bench.rootfs(),
      stdout: `file://${out}`,
      checkpoint: images,
    });
    assert.equal(made.pid, 0);
    assert.equal((await shim.task.State({ id: next.id })).status, Status.CREATED);
    const { pid } = await shim.task.Start({ id: next.id });
    assert.ok(pid > 0);
    await until(() => numbers(out).length > 5);
    assert.equal(numbers(out)[0], last + 1);
    await shim.task.Kill({ id: next.id, signal: 9 });
    assert.equal((await shim.task.Wait({ id: next.id })).exitStatus, 137);
    await shim.task.Delete({ id: next.id });
    await shim.task.Shutdown({ id: next.id });
  });

  it("keeps a failed checkpoint's log and the container", async () => {
    const { id, bundle, task } = await counter();
    await assert.rejects(
      task.Checkpoint({ id, path: "/proc/nowhere" }),
      (error: unknown) => error instanceof TtrpcError,
    );
    assert.equal((await task.State({ id })).status, Status.RUNNING);
    await task.Kill({ id, signal: 9 });
    await task.Wait({ id });
    await task.Delete({ id });
    await task.Shutdown({ id });
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(bundle));
  });

  it("waits for a migration's processes, and can be deleted before they come", async () => {
    const { id, bundle } = bench.makeBundle(COUNTER);
    const { task, address } = await bench.start(id, bundle);
    const { IncomingOptions } = pclive.shim.v1;
    const value = IncomingOptions.encode({ migration: "ab".repeat(16) }).finish();
    const options = { type_url: "containerd.runc.v1.Options", value };
    const made = await task.Create({ id, bundle, rootfs: bench.rootfs(), options });
    assert.equal(made.pid, 0);
    const state = await task.State({ id });
    assert.deepEqual([state.status, state.pid], [Status.CREATED, 0]);
    await assert.rejects(
      task.Kill({ id, signal: 9 }),
      (error: unknown) => (error as TtrpcError).code === Code.NOT_FOUND,
    );
    const started = assert.rejects(task.Start({ id }), /migration failed: the task was deleted/);
    await new Promise((done) => setTimeout(done, 100));
    await task.Delete({ id });
    await started;
    await task.Shutdown({ id });
    await until(() => !existsSync(address.replace("unix://", "")));
  });
});
