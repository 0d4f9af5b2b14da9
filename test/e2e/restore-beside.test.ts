/** A checkpoint restored under a new name: it goes on from the image beside the container that was checkpointed. */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { checkpoint } from "../lib/checkpoint.js";
import { RedisContainer, removeScript } from "../lib/redis.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

const IMAGE = "/tmp/beside";

describe("restore beside", function () {
  this.timeout(120_000);
  const id = "e2e-first";
  const twin = "e2e-second";
  const address = freshAddress();
  let lab: Lab;
  let redis: RedisContainer;
  const restore = (from: string, ...flags: string[]) =>
    lab.exec("a", ["pclive", "restore", id, "--from", from, "--name", twin, ...flags], {
      timeoutMs: 60_000,
      allowFailure: true,
    });
  const names = async () =>
    `${(await lab.exec("a", ["ctr", "c", "ls", "-q"])).stdout}${(await lab.exec("a", ["ctr", "snapshot", "ls"])).stdout}`;
  before(async () => {
    lab = await theLab();
    redis = await RedisContainer.start(lab, "a", {
      id,
      address: freshAddress(),
      memoryMb: 60,
      valueBytes: 4096,
    });
    await redis.populate();
    // What the container has written goes with the twin.
    await lab.exec("a", ["ctr", "task", "exec", "--exec-id", "w", id, "redis-cli", "save"]);
    await lab.netns("a", twin, address);
  });
  after(async () => {
    await redis?.remove("a");
    await lab.exec("a", ["sh", "-c", removeScript(twin)]);
    await lab.exec("a", ["rm", "-rf", IMAGE]);
  });

  it("both run, each with its own memory", async () => {
    const digest = await redis.digest();
    await checkpoint(lab, "a", id, IMAGE);
    await redis.cli(["set", "since", "then"]);
    const { code, stderr } = await restore(IMAGE, "--netns", `/run/netns/${twin}`);
    assert.equal(code, 0, stderr);
    await assertRuns(lab, "a", id);
    await assertRuns(lab, "a", twin);
    const other = async (...words: string[]) =>
      (await lab.exec("c", ["redis-cli", "-h", address, ...words])).stdout.trim();
    assert.equal(await other("debug", "digest"), digest);
    assert.equal((await redis.cli(["get", "since"])).trim(), "then");
    assert.equal(await other("get", "since"), "");
    assert.equal((await other("save")).trim(), "OK", "its files can be written");
    const report = await checkpoint(lab, "a", twin, `${IMAGE}/twin`);
    assert.equal(report.mode, "live", "it can be checkpointed itself");
  });

  it("a name that is taken is refused", async () => {
    const { code, stderr } = await restore(IMAGE);
    assert.equal(code, 3);
    assert.match(stderr, /a container named e2e-second exists already/);
    await assertRuns(lab, "a", twin);
  });

  it("of a damaged image nothing is left", async () => {
    await lab.exec("a", ["sh", "-c", removeScript(twin)]);
    await lab.exec("a", [
      "sh",
      "-c",
      `cd ${IMAGE} && printf x | dd of=pages-1.img bs=1 seek=4096 conv=notrunc 2>&1`,
    ]);
    await lab.netns("a", twin, address);
    const { code, stderr } = await restore(IMAGE, "--netns", `/run/netns/${twin}`);
    assert.equal(code, 1);
    assert.match(stderr, /pages-1\.img/);
    assert.doesNotMatch(await names(), new RegExp(twin));
    await assertRuns(lab, "a", id);
  });
});
