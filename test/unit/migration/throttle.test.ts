/** The quota's arithmetic and its way back, on files as the kernel shows them; with a kernel: test/e2e/convergence.test.ts. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Throttle, undoThrottle } from "../../../runtime/migration/throttle.js";
import type { CpuCgroup } from "../../../runtime/migration/types.js";

describe("slowing a container down", () => {
  let folder: string;
  let scratch: string;
  const file = (name: string) => join(folder, name);
  /** The first line: a file of the kernel has no other, ours may have what was there before. */
  const text = (name: string) => readFileSync(file(name), "utf8").split("\n")[0];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pclive-cpu-"));
    scratch = mkdtempSync(join(tmpdir(), "pclive-scratch-"));
  });
  afterEach(() => {
    for (const path of [folder, scratch]) rmSync(path, { recursive: true });
  });

  function version1(quota: string): CpuCgroup {
    writeFileSync(file("cpu.cfs_quota_us"), `${quota}\n`);
    writeFileSync(file("cpu.cfs_period_us"), "100000\n");
    writeFileSync(file("cpuacct.usage"), "0\n");
    return { version: 1, folder, usageFolder: folder };
  }

  function version2(max: string): CpuCgroup {
    writeFileSync(file("cpu.max"), `${max}\n`);
    writeFileSync(file("cpu.stat"), "usage_usec 0\n");
    return { version: 2, folder };
  }

  it("takes a share of what it used, and gives it back (version 1)", async () => {
    const throttle = await Throttle.watch(version1("-1"), scratch);
    await sleep(50);
    writeFileSync(file("cpuacct.usage"), `${100e6}\n`); // 100 ms in some 50
    const half = await throttle.slow(0.5);
    assert.ok(half > 0.2 && half <= 1.0, `${half} CPUs`);
    assert.equal(Number(text("cpu.cfs_quota_us")), Math.round(half * 100_000));
    // Of what it took before it was slowed down, not of what is left of it.
    assert.ok(Math.abs((await throttle.slow(0.25)) - half / 2) < 0.01);
    await throttle.undo();
    assert.equal(text("cpu.cfs_quota_us"), "-1");
  });

  it("never gives more than there was, nor nothing at all (version 2)", async () => {
    const throttle = await Throttle.watch(version2("20000 100000"), scratch);
    await sleep(20);
    writeFileSync(file("cpu.stat"), "usage_usec 10000000\n");
    assert.ok(Math.abs((await throttle.slow(0.5)) - 0.1) < 0.001);
    assert.equal(text("cpu.max"), "10000 100000");
    assert.ok((await throttle.slow(0.01)) >= 0.02);
    await throttle.undo();
    assert.equal(text("cpu.max"), "20000 100000");
    writeFileSync(file("cpu.max"), "1 100000");
    await throttle.undo();
    assert.equal(text("cpu.max"), "1 100000", "undone twice");
  });

  it("is undone by whoever cleans up after a shim that died", async () => {
    const throttle = await Throttle.watch(version2("max 100000"), scratch);
    await throttle.slow(0.5);
    assert.notEqual(text("cpu.max"), "max 100000");
    await undoThrottle(scratch);
    assert.equal(text("cpu.max"), "max 100000");
    rmSync(file("cpu.max"));
    await undoThrottle(scratch);
    assert.ok(!existsSync(file("cpu.max")), "a file was made where the cgroup is gone");
  });

  it("writes nothing that a damaged record says", async () => {
    const other = file("passwd");
    writeFileSync(other, "kept");
    for (const bad of [
      `{"path":"${other}","before":"max"}`,
      "{",
      `{"path":"${file("cpu.max")}","before":"rm"}`,
    ]) {
      writeFileSync(join(scratch, "throttle.json"), bad);
      await undoThrottle(scratch);
    }
    assert.equal(text("passwd"), "kept");
    assert.ok(!existsSync(file("cpu.max")));
  });

  it("says so when the kernel has no quota", async () => {
    const throttle = await Throttle.watch({ version: 2, folder }, scratch);
    await assert.rejects(throttle.slow(0.5), { code: "unsupported" });
  });
});
