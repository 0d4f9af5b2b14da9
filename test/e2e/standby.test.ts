/** The ordinary checkpoint call of a container that another host stands by for: a standby there, a failover, a migration. */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { type CheckpointCall, callCheckpoint } from "../lib/checkpoint-call.js";
import { RedisContainer } from "../lib/redis.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

const AT_B = "/run/pclive/peers/b/any";

describe("standby", function () {
  this.timeout(120_000);
  const id = "e2e-standby";
  const name = `standby/default/${id}`;
  let lab: Lab;
  let redis: RedisContainer;
  let digest = "";
  const run = (host: string, ...argv: string[]) =>
    lab.exec(host, argv, { timeoutMs: 60_000, allowFailure: true });
  const runs = async (host: string) => {
    await assertRuns(lab, host, id);
    assert.equal(await redis.digest(), digest);
  };
  const fails = (options: CheckpointCall, said: RegExp) =>
    assert.rejects(callCheckpoint(lab, "a", id, options), (error: Error) => said.test(error.message));
  before(async () => {
    lab = await theLab();
    const options = { id, address: freshAddress(), memoryMb: 30, valueBytes: 4096 };
    redis = await RedisContainer.start(lab, "a", options, "--label", "pclive.io/peer=b");
    await redis.populate();
  });
  after(async () => {
    for (const host of ["a", "b"]) await redis?.remove(host);
    await run("b", "pclive", "images", "rm", name);
  });

  it("a checkpoint by path, and by the container's label, is the newest standby", async () => {
    await callCheckpoint(lab, "a", id, { imagePath: AT_B });
    await redis.cli(["set", "word", "one"]);
    digest = await redis.digest();
    await callCheckpoint(lab, "a", id, { path: "/tmp/note" });
    assert.match((await run("a", "cat", "/tmp/note/pclive-peer.json")).stdout, /"host":"b"/);
    await runs("a");
    const { stdout } = await run("b", "pclive", "images");
    assert.equal(stdout.split("\n").filter((line) => line.startsWith(name)).length, 1);
  });

  it("one that fails, with and without exit, leaves the container running", async () => {
    for (const exit of [false, true]) {
      await fails(
        { exit, imagePath: "/run/pclive/peers/nowhere/x" },
        /pclive (migrate|checkpoint): .*nowhere/,
      );
      await fails({ exit, path: "/run/pclive/peers/--force/x" }, /no name of a host/);
      await lab.kill("b", "pclived");
      await fails({ exit }, /does not answer/);
      await lab.start("b", "pclived");
      await runs("a");
    }
  });

  it("failover is refused while the container runs", async () => {
    const { code, stderr } = await run("b", "pclive", "failover", id);
    assert.equal(code, 3);
    assert.match(stderr, new RegExp(`${id} is running on a`));
    assert.equal((await run("b", "pclive", "failover", "nobody")).code, 6);
  });

  it("and starts the newest state when the host is lost", async () => {
    await lab.kill("a", "pclived");
    await redis.remove("a");
    const { code, stdout, stderr } = await run("b", "pclive", "failover", id);
    await lab.start("a", "pclived");
    assert.equal(code, 0, stderr);
    assert.match(stdout, new RegExp(`${id} runs`));
    await runs("b");
    // Its label names the host where it is now: that is no other one.
    await callCheckpoint(lab, "b", id, { path: "/tmp/here" });
    assert.equal((await run("b", "ls", "/tmp/here/inventory.img")).code, 0);
    await run("b", "rm", "-r", "/tmp/here");
  });

  it("with exit the container moves; what has moved is not started a second time", async () => {
    await callCheckpoint(lab, "b", id, { exit: true, path: "/run/pclive/peers/a/x" });
    assert.match((await run("b", "ctr", "t", "ls")).stdout, new RegExp(`${id} .*STOPPED`));
    await runs("a");
    await redis.remove("b");
    assert.equal((await run("b", "pclive", "failover", id)).code, 3);
    // By its label, which has come along.
    await callCheckpoint(lab, "a", id, { exit: true });
    await runs("b");
    assert.equal((await run("b", "pclive", "failover", id)).code, 3);
  });
});
