/** Protected containers: what they held a moment ago is there after a crash of the whole host, and whatever fails is told and tried again. */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { endTask } from "../lib/checkpoint.js";
import { migrate } from "../lib/migrate.js";
import { nextImage, protect, protection, protectionUntil } from "../lib/protect.js";
import { RedisContainer } from "../lib/redis.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

const IMAGES = "/tmp/protected";

describe("protect", function () {
  this.timeout(180_000);
  const id = "e2e-protect";
  let lab: Lab;
  let redis: RedisContainer;
  let host = "a";
  before(async () => {
    lab = await theLab();
    const options = { id, address: freshAddress(), memoryMb: 60, valueBytes: 4096 };
    redis = await RedisContainer.start(lab, host, options);
    await redis.populate();
  });
  after(async () => {
    await lab.exec(host, ["pclive", "unprotect", id], { allowFailure: true });
    for (const name of ["a", "b"]) await redis?.remove(name);
    await lab.exec("a", ["sh", "-c", `umount ${IMAGES}; rm -rf ${IMAGES}`], { allowFailure: true });
  });
  const images = async () =>
    (await lab.exec("a", ["sh", "-c", `ls ${IMAGES} | grep '^0'`])).stdout.trim().split("\n");
  const restore = (name: string) =>
    lab.exec("a", ["pclive", "restore", id, "--from", `${IMAGES}/${name}`], { timeoutMs: 60_000 });
  const begin = () => protect(lab, "a", id, "--every", "1s", "--keep", "3", "--to", IMAGES);

  const whileTaking = () =>
    lab.exec("a", [
      "timeout",
      "20",
      "sh",
      "-c",
      `until ls -A ${IMAGES} | grep -q pclive-; do sleep .01; done`,
    ]);

  it("images of what has changed; the newest three and what they need stay", async () => {
    await lab.exec("a", ["sh", "-c", `mkdir -p ${IMAGES} && mount -t tmpfs -o size=700m none ${IMAGES}`]);
    await begin();
    const one = await protectionUntil(lab, "a", id, (now) => now.images.length >= 4);
    const [first, second] = one.images;
    assert.equal(first?.parent, "");
    assert.equal(second?.parent, first?.name);
    assert.ok(Number(second?.bytes) < Number(first?.bytes) / 5, `${second?.bytes} of ${first?.bytes}`);
    assert.ok(!one.failure, one.failure?.message ?? "");
    await assertRuns(lab, "a", id);
    // Memory that changes a lot makes complete images, and the older ones go.
    for (let i = 0; i < 4; i++) {
      await redis.populate();
      await nextImage(lab, "a", id);
    }
    const later = await protectionUntil(lab, "a", id, (now) => now.images[0]?.name !== first?.name, 60_000);
    assert.ok(later.images.length >= 3);
    assert.ok(!(await images()).includes(first?.name ?? ""));
  });

  it("another one of the same container is refused, and words that make no sense", async () => {
    const { code, stderr } = await lab.exec("a", ["pclive", "protect", id], { allowFailure: true });
    assert.equal(code, 3);
    assert.match(stderr, /is protected already/);
    for (const flags of [
      ["--every", "0s"],
      ["--every", "x"],
      ["--keep", "0"],
    ]) {
      const result = await lab.exec("a", ["pclive", "protect", id, ...flags], { allowFailure: true });
      assert.equal(result.code, 2, flags.join(" "));
    }
  });

  it("a failure is told, and the next one is tried", async () => {
    await lab.exec("a", ["sh", "-c", `dd if=/dev/zero of=${IMAGES}/full bs=1M 2>/dev/null; true`]);
    const failed = await protectionUntil(lab, "a", id, (now) => Boolean(now.failure));
    assert.match(failed.failure?.message ?? "", /No space left/);
    assert.match((await lab.exec("a", ["pclive", "protect", "--list"])).stdout, /FAILED .*No space left/);
    await assertRuns(lab, "a", id);
    await lab.exec("a", ["rm", `${IMAGES}/full`]);
    await nextImage(lab, "a", id);
    assert.ok(!(await protection(lab, "a", id)).failure);
  });

  it("goes on after a restart of the agent", async () => {
    await lab.kill("a", "pclived");
    await lab.start("a", "pclived");
    await nextImage(lab, "a", id);
    await nextImage(lab, "a", id);
    await assertRuns(lab, "a", id);
  });

  it("everything is killed: the newest image brings back what was there", async () => {
    await redis.cli(["set", "last", "words"]);
    const digest = await redis.digest();
    // All three are younger than the last connection of a client.
    const now = Date.now();
    await protectionUntil(lab, "a", id, ({ images }) => (images.at(-3)?.at ?? 0) > now);
    await lab.kill("a", "containerd");
    await lab.kill("a", "pclived");
    for (const victim of ["containerd-shim-pclive-v2", "pclive-engine", "redis-server", "criu", "runc"])
      await lab.killMatching("a", victim);
    await lab.start("a", "containerd");
    await lab.start("a", "pclived");
    const ended = await protectionUntil(lab, "a", id, (now) => now.state === "ended");
    await restore("latest");
    await assertRuns(lab, "a", id);
    assert.equal(await redis.digest(), digest);
    // And so does the oldest of those that are kept.
    await endTask(lab, "a", id);
    await restore(ended.images.at(-3)?.name ?? "");
    assert.equal(await redis.digest(), digest);
    const left = (await lab.exec("a", ["ls", "-A", IMAGES])).stdout;
    assert.doesNotMatch(left, /\.pclive-/);
  });

  it("gives way to a checkpoint that somebody waits for", async () => {
    await begin();
    await nextImage(lab, "a", id);
    const wanted = `${IMAGES}/wanted`;
    await whileTaking();
    const { stdout } = await lab.exec("a", ["pclive", "checkpoint", id, "--to", wanted, "--json"]);
    assert.equal(JSON.parse(stdout).report.mode, "live");
    await lab.exec("a", ["rm", "-r", wanted]);
    await nextImage(lab, "a", id);
    assert.ok(!(await protection(lab, "a", id)).failure);
  });

  it("makes way for a migration, and ends with it", async () => {
    await whileTaking();
    const { exitCode, stderr } = await migrate(lab, "a", id, "b");
    assert.equal(exitCode, 0, stderr);
    host = "b";
    await redis.verify();
    await protectionUntil(lab, "a", id, (now) => now.state === "ended");
    await lab.exec("a", ["pclive", "unprotect", id]);
    assert.match((await lab.exec("a", ["pclive", "protect", "--list"])).stdout, /nothing is protected/);
  });
});
