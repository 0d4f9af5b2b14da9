/** Docker beyond one container: its daemons restarted, compose, checkpoints. */
import assert from "node:assert/strict";
import { Docker, WAYS } from "./docker.js";
import type { Host } from "./host.js";

const BASE = "pclive.test/base";
const COMPOSE = (runtime: string) => `version: "2.4"
services:
  db: { image: pclive.test/redis, ${runtime} restart: always }
  app:
    image: pclive.test/redis
    ${runtime.replace(",", "")}
    depends_on: [db]
    command: sh -c 'until redis-cli -h db incr visits; do sleep 0.2; done; exec sleep 1000'
`;

for (const way of WAYS) {
  describe(`docker's daemons, ${way}`, function () {
    this.timeout(120_000);
    let docker: Docker;
    let host: Host;
    let run: string;
    const counts = "sh -c 'i=0; while [ $i -lt 400 ]; do echo $i; i=$((i+1)); usleep 10000; done; exit 6'";
    before(async () => {
      docker = await Docker.up(way);
      ({ host, start: run } = docker);
    });
    afterEach(() => docker.empty());
    after(() => docker.close());

    it("live-restore: dockerd comes back to what runs, output and exit codes are not lost", async () => {
      await host.run(`${run} -d --name counts ${BASE} ${counts}`);
      await host.run(`${run} -d --name stays ${BASE}`);
      const pid = await docker.inspect("stays", ".State.Pid");
      await host.lab.kill(host.name, "dockerd", "KILL");
      await host.lab.start(host.name, "dockerd");
      assert.equal(await docker.inspect("stays", ".State.Status}} {{.State.Pid"), `running ${pid}`);
      assert.equal(await host.run("docker exec stays echo in"), "in");
      assert.equal(await host.run("docker wait counts"), "6");
      assert.equal(await host.run("docker logs counts | sha256sum"), await host.run("seq 0 399 | sha256sum"));
    });

    it("containerd ends and comes back under it", async () => {
      await host.run(`${run} -d --name counts ${BASE} ${counts}`);
      await host.lab.kill(host.name, "containerd", "KILL");
      await host.lab.start(host.name, "containerd");
      await host.until("docker exec counts echo in", /^in/);
      assert.equal(await host.run("docker wait counts"), "6");
      assert.equal(await host.run("docker logs counts | sha256sum"), await host.run("seq 0 399 | sha256sum"));
    });

    it("compose: two services that find each other", async () => {
      const compose = "$(command -v docker-compose || echo docker compose) -p two -f /tmp/compose.yml";
      const runtime = docker.way === "by-name" ? "runtime: io.containerd.pclive.v2," : "";
      await host.run("cat >/tmp/compose.yml", { input: COMPOSE(runtime) });
      try {
        await host.run(`${compose} up -d`);
        await host.assertShims("moby", 2);
        await host.until(`${compose} logs app`, /\b1\b/);
        assert.equal(await host.run(`${compose} exec -T db redis-cli get visits`), "1");
        await host.run(`${compose} restart -t 1 app`);
        await host.until(`${compose} exec -T db redis-cli get visits`, /^2/);
      } finally {
        await host.run(`${compose} down -t 1`);
      }
    });

    // Docker tells a shim to end the checkpointed container only when its runtime has the stock name. Docker 28
    // starts from a checkpoint only where it makes no network.
    it("checkpoints, and starts from there", checkpointAndStart);

    it("gives up at once where it cannot start from a checkpoint, and leaves nothing", async () => {
      // Not by sleep alone: a checkpoint interrupts it, and busybox's ends then.
      const loop = "sh -c 'while :; do usleep 50000; done'";
      await host.run(
        `${run} -d --name none --network none --security-opt seccomp=unconfined ${BASE} ${loop}`,
      );
      await host.run("docker checkpoint create none one");
      if (way === "by-name") {
        assert.equal(await docker.inspect("none", ".State.Status}} {{.State.ExitCode"), "running 0");
        await host.run("docker kill none");
      }
      await docker.inspectUntil("none", ".State.Status", /^exited/);
      const { code, stderr } = await host.outcome("timeout 30 docker start --checkpoint one none");
      assert.notEqual(code, 124, "it hangs");
      if (code !== 0) assert.match(stderr, /proc.0.ns.net.*no such file/);
      assert.equal(await docker.inspect("none", ".State.Running"), String(code === 0));
      await host.run("docker rm -f none");
      await host.assertNoShims("moby");
    });

    async function checkpointAndStart(): Promise<void> {
      const count = "sh -c 'i=0; while :; do i=$((i+1)); echo $i; usleep 50000; done'";
      await host.run(
        `${run} -d --name moves --network host --security-opt seccomp=unconfined ${BASE} ${count}`,
      );
      await host.until("docker logs moves", /^10$/m);
      await host.run("docker checkpoint create moves one");
      if (way === "by-name") {
        assert.equal(await docker.inspect("moves", ".State.Status"), "running");
        await host.run("docker kill moves");
      }
      await docker.inspectUntil("moves", ".State.Status", /^exited/);
      const last = Number(await host.run("docker logs moves | tail -n 1"));
      await host.run("docker start --checkpoint one moves");
      await host.until("docker logs moves", new RegExp(`^${last + 5}$`, "m"));
      // What ran on after the checkpoint comes again.
      if (way === "in-place")
        assert.equal(await host.run("docker logs moves | sort -n | uniq -d | wc -l"), "0");
      await host.run("docker kill moves");
    }
  });
}
