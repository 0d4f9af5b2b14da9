/** ctr's two ways of checkpointing: into a folder, and into an image from which a container is made again. */
import assert from "node:assert/strict";
import { Host } from "./host.js";

const BASE = "pclive.test/base:latest";
const RUN = "ctr run --runtime io.containerd.pclive.v2";
// Counts in memory, and tells where it stands.
const COUNT = "sh -c 'i=0; while :; do i=$((i+1)); echo $i >/data/count; sleep 0.05; done'";

describe("ctr, checkpoint", function () {
  this.timeout(120_000);
  let host: Host;
  before(async () => {
    host = await Host.up();
  });
  afterEach(async () => {
    // Newest first: a restored container lives in the control group of the one it was made of.
    await host.outcome("for c in $(ctr c ls -q | sort -r); do ctr t rm -f $c; ctr c rm $c; done");
    await host.outcome("ctr i ls -q | grep checkpoint | xargs -r ctr i rm --sync");
    await host.assertNoShims("default");
  });
  const counted = async (id: string, name: string) =>
    Number(await host.until(`ctr t exec --exec-id ${name} ${id} cat /data/count`, /^\d+\n/));

  it("goes on in a new container from where it was", async () => {
    await host.run(`${RUN} -d --null-io ${BASE} first ${COUNT}`);
    await host.until("ctr t exec --exec-id w first cat /data/count", /^\d\d/);
    await host.run("ctr c checkpoint --rw --task first pclive.test/checkpoint:1");
    const before = await counted("first", "a");
    await host.run("ctr t kill -s KILL first");
    await host.run("ctr c restore --rw --live second pclive.test/checkpoint:1");
    assert.match(await host.run("ctr t ls"), /^second +\d+ +RUNNING/m);
    const after = await counted("second", "b");
    assert.ok(after > 10 && after < before + 200, `before ${before}, after ${after}`);
    await host.until(
      `ctr t exec --exec-id c$RANDOM second cat /data/count`,
      new RegExp(`^(?!${after}\n)\\d+`),
    );
  });

  // For any name but the stock one, ctr 1.6 and 1.7 keep --image-path and --exit to themselves.
  it("leaves a folder of images, in the stock shim's place", async () => {
    await host.replaceStock();
    try {
      await host.run(`ctr run -d --null-io ${BASE} still ${COUNT}`);
      await host.assertShims("default", 1);
      await host.run("rm -rf /tmp/images; ctr t checkpoint --image-path /tmp/images still");
      await host.run("ls /tmp/images/inventory.img");
    } finally {
      await host.restoreStock();
    }
  });
});
