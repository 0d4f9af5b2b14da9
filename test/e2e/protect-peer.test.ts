/** A protected container whose newest state another host has: after the loss of its own it goes on there. */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { nextImage, protect, protection, protectionUntil } from "../lib/protect.js";
import { RedisContainer } from "../lib/redis.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

describe("protect, at a peer", function () {
  this.timeout(120_000);
  const id = "e2e-away";
  const name = `standby/default/${id}`;
  let lab: Lab;
  let redis: RedisContainer;
  const run = (host: string, ...argv: string[]) =>
    lab.exec(host, argv, { timeoutMs: 60_000, allowFailure: true });
  const standby = async () => {
    const { stdout } = await run("b", "pclive", "images", "--json");
    const { images } = JSON.parse(stdout) as { images: { name: string; at: number; parts: number }[] };
    return images.find((one) => one.name === name);
  };
  /** The peer has an image that was begun after this call. */
  async function nextThere(): Promise<void> {
    const now = Date.now();
    for (const deadline = now + 40_000; ; ) {
      if (((await standby())?.at ?? 0) > now) return;
      if (Date.now() > deadline) assert.fail(JSON.stringify(await protection(lab, "a", id)));
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  }
  const word = (text: string, and = "true") =>
    run("a", "ctr", "t", "exec", "--exec-id", text, id, "sh", "-c", `echo ${text} >/data/${text}; ${and}`);
  before(async () => {
    lab = await theLab();
    const options = { id, address: freshAddress(), memoryMb: 30, valueBytes: 4096 };
    redis = await RedisContainer.start(lab, "a", options);
    await redis.populate();
    await protect(lab, "a", id, "--every", "1s", "--to", "peer:b");
  });
  after(async () => {
    await run("a", "pclive", "unprotect", id);
    for (const host of ["a", "b"]) await redis?.remove(host);
    await run("b", "pclive", "images", "rm", name);
    await run("a", "rm", "-rf", `/var/lib/pclive/images/default/${id}`);
  });

  it("what has changed follows, memory and files", async () => {
    await nextThere();
    await word("first");
    await nextThere();
    await word("second", "rm /data/first");
    await nextThere();
    assert.ok(((await standby())?.parts ?? 0) > 1, "one part after another");
    assert.match((await run("a", "pclive", "protect", "--list")).stdout, /and at b/);
    assert.ok(!(await protection(lab, "a", id)).failure);
  });

  it("a peer that is away is told, the images here go on, and it gets what it has missed", async () => {
    const before = await standby();
    await lab.kill("b", "pclived");
    const { failure } = await protectionUntil(lab, "a", id, (one) => Boolean(one.failure));
    assert.match(failure?.message ?? "", /b does not answer/);
    await nextImage(lab, "a", id);
    await lab.start("b", "pclived");
    assert.ok(before && ((await standby())?.at ?? 0) >= before.at);
    await nextThere();
    await protectionUntil(lab, "a", id, (one) => !one.failure);
  });

  it("goes on after a restart of the own agent", async () => {
    await lab.kill("a", "pclived");
    await lab.start("a", "pclived");
    await nextThere();
  });

  it("the host is lost: the newest state goes on at the peer", async () => {
    await redis.cli(["set", "last", "word"]);
    await word("third");
    const digest = await redis.digest();
    await nextThere();
    await lab.kill("a", "pclived");
    await redis.remove("a");
    const { code, stderr } = await run("b", "pclive", "failover", id);
    await lab.start("a", "pclived");
    assert.equal(code, 0, stderr);
    await assertRuns(lab, "b", id);
    assert.equal(await redis.digest(), digest);
    const files = await run("b", "ctr", "t", "exec", "--exec-id", "ls", id, "ls", "/data");
    assert.equal(files.stdout.replace("dump.rdb\n", ""), "second\nthird\n");
  });
});
