/** Docker's life of a container, as people type it. */
import assert from "node:assert/strict";
import { Docker, WAYS } from "./docker.js";
import type { Host } from "./host.js";

const BASE = "pclive.test/base";

for (const way of WAYS) {
  describe(`docker, ${way}`, function () {
    this.timeout(120_000);
    let docker: Docker;
    let host: Host;
    let run: string;
    before(async () => {
      docker = await Docker.up(way);
      ({ host, start: run } = docker);
    });
    afterEach(() => docker.empty());
    after(() => docker.close());

    it("runs a command to its end, with its streams and exit code", async () => {
      const { code, stdout, stderr } = await host.outcome(
        `echo in | ${run} --rm -i ${BASE} sh -c 'cat; echo err >&2; exit 7'`,
      );
      assert.deepEqual([code, stdout, stderr], [7, "in\n", "err\n"]);
    });

    it("says why a command cannot start, with Docker's exit codes", async () => {
      const missing = await host.outcome(`${run} --rm ${BASE} /no/such`);
      assert.equal(missing.code, 127);
      assert.match(missing.stderr, /runc create failed.*no such file or directory/);
      assert.equal((await host.outcome(`${run} --rm ${BASE} /etc/passwd`)).code, 126);
    });

    it("runs in the background: ps, exec, top, stats, logs, cp", async () => {
      await host.run(`${run} -d --name bg ${BASE} sh -c 'echo out; echo err >&2; exec sleep 1000'`);
      await host.assertShims("moby", 1);
      assert.match(await host.run("docker ps"), /Up .* bg$/m);
      assert.equal((await host.outcome("docker exec bg sh -c 'echo in; exit 9'")).code, 9);
      assert.equal(
        await host.run("docker exec -w /data -u 65534 -e A=b bg sh -c 'pwd; id -u; echo $A'"),
        "/data\n65534\nb",
      );
      assert.equal(await host.run("head -c 2M /dev/zero | docker exec -i bg wc -c"), String(2 << 20));
      assert.match(await host.run("docker top bg"), /sleep 1000/);
      assert.match(
        await host.run("docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' bg"),
        /^[1-9.]+\w+ \/ .* 1$/,
      );
      assert.equal(await host.run("docker logs bg 2>/dev/null; docker logs bg 2>&1 >/dev/null"), "out\nerr");
      await host.run(
        "echo there >/tmp/there && docker cp /tmp/there bg:/data/ && docker exec bg mv /data/there /data/back",
      );
      assert.equal(await host.run("docker cp bg:/data/back - | tar xO"), "there");
    });

    it("pauses and goes on", async () => {
      await host.run(`${run} -d --name still ${BASE}`);
      await host.run("docker pause still");
      assert.equal(await docker.inspect("still", ".State.Status"), "paused");
      await host.run("docker unpause still");
      assert.equal(await host.run("docker exec still echo on"), "on");
    });

    it("stops, kills and waits with the right exit codes", async () => {
      const trap = `sh -c 'trap "exit 3" TERM; trap "echo hup" HUP; while :; do sleep 0.1; done'`;
      await host.run(`${run} -d --name polite ${BASE} ${trap}`);
      await host.run("docker kill -s HUP polite");
      await host.until("docker logs polite", /hup/);
      const wait = host.run("docker wait polite");
      await host.run("docker stop polite");
      assert.equal(await wait, "3");
      await host.run(`${run} -d --name deaf ${BASE} sleep 1000`);
      await host.run("docker stop -t 1 deaf");
      assert.equal(await docker.inspect("deaf", ".State.ExitCode"), "137");
      await host.run("docker start deaf && docker restart -t 0 deaf && docker kill deaf");
      assert.equal(await host.run("docker wait deaf"), "137");
    });

    it("gives a terminal, of the client's size, to detach from and to attach to", async () => {
      const shell = `stty rows 33 cols 99; ${run} -it --name tty ${BASE} sh`;
      const typed = `(sleep 2; printf 'stty size\\r'; sleep 1; printf '\\020\\021'; sleep 1)`;
      const output = await host.run(`${typed} | script -qec '${shell}' /dev/null`);
      assert.match(output, /^33 99\r*$/m);
      assert.equal(await docker.inspect("tty", ".State.Status"), "running");
      const again = `(sleep 1; printf 'echo $((6*7))\\r'; sleep 1; printf 'exit 5\\r'; sleep 1)`;
      const attached = await host.outcome(`${again} | script -qec 'docker attach tty' /dev/null`);
      assert.match(attached.stdout, /^42\r*$/m);
      assert.equal(attached.code, 5);
    });

    it("restarts by policy: so often on failure, always after a death", async () => {
      await host.run(`${run} -d --name twice --restart on-failure:2 ${BASE} sh -c 'exit 4'`);
      await host.run(`${run} -d --name ever --restart always ${BASE} sleep 1000`);
      await host.run(`kill -KILL ${await docker.inspect("ever", ".State.Pid")}`);
      await docker.inspectUntil("ever", ".RestartCount}} {{.State.Status", /^1 running/);
      await docker.inspectUntil(
        "twice",
        ".RestartCount}} {{.State.Status}} {{.State.ExitCode",
        /^2 exited 4/,
      );
    });

    it("checks health", async () => {
      const health = "--health-interval 300ms --health-retries 2 --health-cmd 'test -e /data/well'";
      await host.run(`${run} -d --name ill ${health} ${BASE}`);
      await docker.inspectUntil("ill", ".State.Health.Status", /^unhealthy/);
      await host.run("docker exec ill touch /data/well");
      await docker.inspectUntil("ill", ".State.Health.Status", /^healthy/);
    });

    it("limits memory, and tells of an end for want of it", async () => {
      const limit = "-m 16m --memory-swap 16m";
      await host.run(`${run} -d --name hungry ${limit} ${BASE} sh -c 'x=x; while :; do x=$x$x; done'`);
      assert.equal(await host.run("docker wait hungry"), "137");
      assert.equal(await docker.inspect("hungry", ".State.OOMKilled"), "true");
    });

    it("updates limits of what runs", async () => {
      await host.run(`${run} -d --name up -m 64m --memory-swap 64m --pids-limit 50 ${BASE}`);
      await host.run("docker update -m 32m --memory-swap 32m --pids-limit 40 --cpu-shares 512 up");
      const read = (v1: string, v2: string) =>
        host.run(`docker exec up sh -c 'cd /sys/fs/cgroup; cat ${v1} 2>/dev/null || cat ${v2}'`);
      assert.equal(await read("memory/memory.limit_in_bytes", "memory.max"), String(32 << 20));
      assert.equal(await read("pids/pids.max", "pids.max"), "40");
      assert.match(await read("cpu/cpu.shares", "cpu.weight"), /^(512|20|59)$/);
    });

    it("keeps to what is asked of the sandbox", async () => {
      const asked =
        "--init --read-only --tmpfs /scratch:size=1m -u 65534:65534 --cap-drop ALL --hostname box --ulimit nofile=77:77 --sysctl net.ipv4.ip_forward=0 -v /tmp:/mnt:ro";
      const look =
        "cat /proc/1/comm; id -u; hostname; ulimit -n; grep CapBnd /proc/self/status | cut -f2; touch /x; touch /scratch/x && echo ok";
      const output = await host.run(`${run} --rm ${asked} ${BASE} sh -c '${look}' 2>&1`);
      // Two streams: which comes first at the end is Docker's matter.
      assert.deepEqual(output.split("\n").sort(), [
        ...["0000000000000000", "65534", "77", "box", "docker-init"],
        ...["ok", "touch: /x: Read-only file system"],
      ]);
    });

    it("publishes a port, and resolves names in a network of its own", async () => {
      await host.run("docker network create own");
      try {
        await host.run(`${run} -d --name server --network own -p 7777:6379 pclive.test/redis`);
        await host.until("redis-cli -p 7777 ping", /PONG/);
        await host.until(`${run} --rm --network own pclive.test/redis redis-cli -h server ping`, /PONG/);
      } finally {
        await host.outcome("docker rm -f server; docker network rm own");
      }
    });
  });
}
