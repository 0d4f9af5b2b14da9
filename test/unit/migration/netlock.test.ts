import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { NetworkLock } from "../../../runtime/migration/netlock.js";

const NAME = `pclive-lock-${process.pid}`;
const NETNS = `/run/netns/${NAME}`;
const inside = (...command: string[]) =>
  execFileSync("ip", ["netns", "exec", NAME, ...command], { encoding: "utf8" });
const tables = () => inside("nft", "list", "ruleset");
/** Whether the namespace answers: a port where nobody listens refuses at once, unless nothing gets through. */
const passes = () => {
  const script = 'timeout 1 bash -c "exec 3<>/dev/tcp/127.0.0.1/9" 2>&1 || true';
  return /refused/.test(inside("bash", "-c", script));
};

describe("the network lock", function () {
  this.timeout(30_000);
  before(function () {
    if (process.getuid?.() !== 0) this.skip();
    execFileSync("ip", ["netns", "add", NAME]);
    inside("ip", "link", "set", "lo", "up");
  });
  after(() => execFileSync("ip", ["netns", "del", NAME]));

  for (const side of ["source", "destination", "input"] as const) {
    it(`silences the ${side} until it is undone, and twice does no harm`, async () => {
      const lock = new NetworkLock(NETNS, side);
      lock.prepare();
      assert.equal(passes(), true);
      await lock.lock();
      await lock.lock();
      assert.equal(passes(), false);
      await lock.unlock();
      await lock.unlock();
      assert.equal(passes(), true);
      assert.equal(tables(), "");
      await lock.dispose();
    });
  }

  it("opens before it is taken away", async () => {
    const lock = new NetworkLock(NETNS, "destination");
    lock.prepare();
    await lock.lock();
    assert.equal(passes(), false);
    await lock.open();
    assert.equal(passes(), true);
    await lock.unlock();
    assert.equal(tables(), "");
    await lock.dispose();
  });

  it("lets CRIU's own packets through at the destination only", async () => {
    for (const side of ["source", "destination", "input"] as const) {
      const lock = new NetworkLock(NETNS, side);
      await lock.lock();
      assert.equal(/mark 0x0000c114 accept/.test(tables()), side === "destination");
      await lock.unlock();
    }
  });

  it("says what is wrong with a namespace that is not there", async () => {
    assert.throws(() => new NetworkLock("relative", "source"), { code: "network-lock-failed" });
    await assert.rejects(new NetworkLock("/run/netns/no-such", "source").lock(), {
      code: "network-lock-failed",
    });
  });
});
