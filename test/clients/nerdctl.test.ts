/** nerdctl, with CNI's own plugins. */
import assert from "node:assert/strict";
import { tool } from "./cri.js";
import { Host } from "./host.js";

const BASE = "pclive.test/base:latest";
const RUN = "nerdctl run --runtime io.containerd.pclive.v2";
const COMPOSE = `services:
  db:
    image: pclive.test/redis:latest
    runtime: io.containerd.pclive.v2
  app:
    image: pclive.test/redis:latest
    runtime: io.containerd.pclive.v2
    depends_on: [db]
    command: sh -c 'until redis-cli -h db incr visits; do sleep 0.2; done; exec sleep 1000'
`;

describe("nerdctl", function () {
  this.timeout(120_000);
  let host: Host;
  before(async function () {
    this.timeout(1_900_000); // the first time, nerdctl is built
    host = await Host.up();
    await host.run(
      `ln -sf ${tool("nerdctl")} /usr/local/bin/nerdctl; mkdir -p /etc/nerdctl; touch /etc/resolv.conf`,
    );
    await host.run(`echo 'cni_path = "/usr/lib/cni"' >/etc/nerdctl/nerdctl.toml`);
    await host.run("for i in base redis; do nerdctl load -i /repo/build/images/$i.tar; done");
  });
  afterEach(async () => {
    await host.outcome("nerdctl ps -aq | xargs -r nerdctl rm -f");
    await host.assertNoShims("default");
  });

  it("runs a command to its end, with its output and exit code", async () => {
    const { code, stdout } = await host.outcome(`${RUN} --rm ${BASE} sh -c 'echo out; exit 7'`);
    assert.deepEqual([code, stdout], [7, "out\n"]);
  });

  it("runs in the background: ps, exec, logs, stats, top, pause, update, stop, rm", async () => {
    await host.run(`${RUN} -d --name bg -m 64m ${BASE} sh -c 'echo out; echo err >&2; exec sleep 1000'`);
    await host.assertShims("default", 1);
    assert.match(await host.run("nerdctl ps"), /Up .*bg$/m);
    assert.match((await host.outcome("nerdctl exec bg sh -c 'exit 9'")).stderr, /exit code 9/);
    await host.until("nerdctl logs bg 2>/dev/null; nerdctl logs bg 2>&1 >/dev/null", /^out\nerr$/m);
    assert.match(
      await host.run("nerdctl stats --no-stream --format '{{.MemUsage}}' bg"),
      /^[1-9][0-9.]*\w+ \/ 64MiB/,
    );
    assert.match(await host.run("nerdctl top bg"), /sleep 1000/);
    await host.run("nerdctl pause bg && nerdctl unpause bg");
    await host.run("nerdctl update -m 32m bg");
    await host.run("nerdctl stop -t 1 bg");
    assert.equal(await host.run("nerdctl inspect -f '{{.State.ExitCode}}' bg"), "137");
    await host.run("nerdctl start bg && nerdctl exec bg true && nerdctl rm -f bg");
  });

  it("compose: two services that find each other", async () => {
    await host.run("cat >/tmp/nerdctl.yml", { input: COMPOSE });
    const compose = "nerdctl compose -p two -f /tmp/nerdctl.yml";
    try {
      await host.run(`${compose} up -d`);
      await host.assertShims("default", 2);
      await host.until("nerdctl exec two-db-1 redis-cli get visits", /^1/);
    } finally {
      await host.outcome(`${compose} down`);
    }
  });
});
