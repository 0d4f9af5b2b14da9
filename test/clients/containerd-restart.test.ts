/** containerd ends and starts again while containers run: it takes them up again, and nothing is lost. */
import assert from "node:assert/strict";
import { Host } from "./host.js";

const BASE = "pclive.test/base:latest";
const RUN = "ctr run --runtime io.containerd.pclive.v2";
// containerd 1.7 and later take away a shim in which nothing runs when they start.
const FORGETS = (process.env.LAB_SUITE ?? "bookworm") !== "bookworm";

for (const signal of ["TERM", "KILL"]) {
  describe(`containerd ended by ${signal}`, function () {
    this.timeout(120_000);
    let host: Host;
    const restart = async (meanwhile = "true") => {
      await host.lab.kill(host.name, "containerd", signal);
      await host.run(meanwhile);
      await host.lab.start(host.name, "containerd");
    };
    before(async () => {
      host = await Host.up();
    });
    afterEach(async () => {
      await host.lab.start(host.name, "containerd");
      await host.outcome(
        "for c in $(ctr c ls -q); do ctr t rm -f $c; ctr c rm $c; done; rm -f /tmp/kept.log",
      );
      await host.assertNoShims("default");
    });

    it("takes up what runs, with the same shim and process", async () => {
      await host.run(`${RUN} -d ${BASE} kept sleep 1000`);
      const before = await host.run("ctr t ls");
      const shims = await host.shims("default");
      await restart();
      assert.equal(await host.run("ctr t ls"), before);
      assert.deepEqual(await host.shims("default"), shims);
      assert.equal(await host.run("ctr t exec --exec-id e kept echo in"), "in");
      await host.run("ctr t pause kept && ctr t resume kept && ctr t kill -s KILL kept");
      await host.until("ctr t ls", /STOPPED/);
      assert.match((await host.outcome("ctr t rm kept")).stderr, /137/);
    });

    it("learns of an end that came meanwhile", async () => {
      await host.run(`${RUN} -d ${BASE} ends sh -c 'until [ -e /data/end ]; do sleep 0.1; done; exit 5'`);
      const pid = await host.run("ctr t ls | awk '/^ends/{print $2}'");
      await restart(
        `touch /proc/${pid}/root/data/end; while [ -e /proc/${pid}/root/data ]; do sleep 0.1; done`,
      );
      if (FORGETS) {
        assert.doesNotMatch(await host.run("ctr t ls"), /^ends/m);
        return;
      }
      assert.match(await host.run("ctr t ls"), /^ends +\d+ +STOPPED/m);
      assert.match((await host.outcome("ctr t rm ends")).stderr, /exit code 5/);
    });

    it("loses no output", async () => {
      const count = "sh -c 'i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); usleep 10000; done'";
      await host.run(`${RUN} -d --log-uri file:///tmp/kept.log ${BASE} counts ${count}`);
      await restart();
      await host.until("ctr t ls", /STOPPED/);
      assert.equal(await host.run("sha256sum </tmp/kept.log"), await host.run("seq 0 299 | sha256sum"));
    });

    it("cleans up after a shim that died meanwhile", async () => {
      await host.run(`${RUN} -d ${BASE} orphan sleep 1234567`);
      await restart("pkill -KILL -f -- '-[n]amespace default .*-id orphan'");
      await host.until("pgrep -fx 'sleep 1234567' || echo none", /^none/);
      assert.doesNotMatch(await host.run("ctr t ls"), /RUNNING/);
      assert.equal(await host.run("grep -c default/orphan /proc/mounts || true"), "0");
    });
  });
}
