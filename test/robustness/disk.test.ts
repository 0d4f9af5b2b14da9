/** A bundle on a disk that is full, or read-only. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ShimBench } from "../integration/shim/bundle.js";
import { processesNaming } from "./lib/leaks.js";
import { until } from "./lib/wait.js";

describe("disk", function () {
  this.timeout(60_000);
  const bench = new ShimBench();
  let disk: string;
  let count = 0;
  before(() => bench.open());
  after(() => bench.close());
  beforeEach(() => {
    disk = join(bench.folder, `disk${++count}`);
    mkdirSync(disk);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=256k", "none", disk]);
  });
  afterEach(() => execFileSync("umount", ["--lazy", disk]));

  /** A bundle on the small disk. */
  function bundleThere(): { id: string; bundle: string } {
    const { id, bundle } = bench.makeBundle(["/bin/true"]);
    const there = join(disk, id);
    cpSync(bundle, there, { recursive: true });
    return { id, bundle: there };
  }

  function fill(): string {
    const ballast = join(disk, "ballast");
    assert.throws(() => writeFileSync(ballast, Buffer.alloc(1 << 20)), { code: "ENOSPC" });
    return ballast;
  }

  const mountsThere = () =>
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(`${disk}/`));

  it("full: Create says so, leaves nothing, and works when there is room", async () => {
    const { id, bundle } = bundleThere();
    const { task } = await bench.start(id, bundle);
    const ballast = fill();
    const create = () => task.Create({ id, bundle, rootfs: bench.rootfs() });
    await assert.rejects(create(), /ENOSPC|no space left/i);
    assert.deepEqual(mountsThere(), []);
    rmSync(ballast);
    await create();
    await task.Start({ id });
    assert.equal((await task.Wait({ id })).exitStatus, 0);
    await task.Delete({ id });
    assert.deepEqual(mountsThere(), []);
    await task.Shutdown({ id });
  });

  it("full before an exec: it says so, and the container goes on", async () => {
    const { id, bundle } = bundleThere();
    const config = join(bundle, "config.json");
    writeFileSync(config, readFileSync(config, "utf8").replace('"/bin/true"', '"/bin/sleep","1000"'));
    const { task } = await bench.start(id, bundle);
    await task.Create({ id, bundle, rootfs: bench.rootfs() });
    await task.Start({ id });
    const ballast = fill();
    const process = { args: ["/bin/true"], cwd: "/", user: { uid: 0, gid: 0 } };
    const spec = { type_url: "", value: Buffer.from(JSON.stringify(process)) };
    await task.Exec({ id, execId: "e", spec });
    await assert.rejects(task.Start({ id, execId: "e" }), /ENOSPC|no space left/i);
    rmSync(ballast);
    await task.Delete({ id, execId: "e" });
    await task.Exec({ id, execId: "f", spec });
    await task.Start({ id, execId: "f" });
    assert.equal((await task.Wait({ id, execId: "f" })).exitStatus, 0);
    await task.Kill({ id, signal: 9 });
    await task.Wait({ id });
    await task.Delete({ id });
    await task.Shutdown({ id });
  });

  for (const [name, spoil] of [
    ["read-only", () => execFileSync("mount", ["-o", "remount,ro", disk])],
    ["full", () => fill()],
  ] as const) {
    it(`${name} before start: it says so, and no server stays`, async () => {
      const { id, bundle } = bundleThere();
      spoil();
      const { status, stderr, stdout } = bench.run("start", id, bundle);
      assert.notEqual(status, 0);
      assert.match(`${stdout}${stderr}`, /EROFS|read-only|ENOSPC|no space left/i);
      await until("no server is left", () => processesNaming(id).length === 0);
      assert.ok(!existsSync(join(bundle, "address")));
    });
  }
});
