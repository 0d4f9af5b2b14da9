/** Kubernetes' way to containers: pods by crictl. */
import assert from "node:assert/strict";
import { Cri } from "./cri.js";
import type { Host } from "./host.js";

describe("cri", function () {
  this.timeout(120_000);
  let cri: Cri;
  let host: Host;
  before(async function () {
    this.timeout(1_900_000); // the first time, crictl is built
    cri = await Cri.up();
    ({ host } = cri);
  });
  afterEach(async () => {
    await host.outcome("crictl rmp -af");
    await host.assertNoShims("k8s.io");
  });
  after(() => cri.close());

  async function pod(name: string): Promise<{ id: string; file: string }> {
    const metadata = { name, namespace: "default", uid: name, attempt: 0 };
    const file = await cri.file(name, { metadata, log_directory: `/tmp/pods/${name}`, linux: {} });
    return { file, id: await host.run(`crictl runp -r pclive ${file}`) };
  }

  async function container(of: { id: string; file: string }, name: string, script: string): Promise<string> {
    const file = await cri.file(name, {
      metadata: { name, attempt: 0 },
      image: { image: "pclive.test/base:latest" },
      command: ["sh", "-c", script],
      log_path: `${name}.log`,
      linux: { resources: { memory_limit_in_bytes: 64 << 20 } },
    });
    const id = await host.run(`crictl create ${of.id} ${file} ${of.file}`);
    await host.run(`crictl start ${id}`);
    return id;
  }

  it("a pod of two containers in one shim: exec, logs, stats, stop, remove", async () => {
    const two = await pod("two");
    const one = await container(two, "one", "echo out; echo err >&2; exec sleep 1000");
    const other = await container(two, "other", "exec sleep 1000");
    await host.assertShims("k8s.io", 1);
    assert.match(await host.run("crictl pods"), /Ready +two/);
    assert.equal((await host.run("crictl ps -q --state running")).split("\n").length, 2);

    assert.equal(await host.run(`crictl exec -s ${one} sh -c 'echo in'`), "in");
    assert.equal(await host.run(`echo fed | crictl exec -i ${other} cat`), "fed");
    assert.match((await host.outcome(`crictl exec ${one} sh -c 'exit 9'`)).stderr, /exit code 9/);
    assert.equal(await host.run(`crictl logs ${one} 2>&1 | sort`), "err\nout");
    await host.until(`crictl stats -o json ${one}`, /"usageBytes": \{\s*"value": "[1-9]/);
    const address = "ip -4 -o addr show eth0 | tr -s ' ' | cut -d' ' -f4";
    assert.equal(
      await host.run(`crictl exec -s ${one} sh -c "${address}"`),
      await host.run(`crictl exec -s ${other} sh -c "${address}"`),
    );

    await host.run(`crictl stop -t 0 ${one}`);
    assert.match(await host.run(`crictl inspect ${one}`), /"exitCode": 137/);
    assert.equal(await host.run(`crictl exec -s ${other} echo in`), "in");
    await host.run(`crictl rm ${one} && crictl stopp ${two.id}`);
    assert.match(await host.run("crictl pods"), /NotReady +two/);
    await host.run(`crictl rmp ${two.id}`);
    assert.equal(await host.run("crictl ps -aq; crictl pods -q"), "");
  });

  it("a terminal", async () => {
    const id = await container(await pod("tty"), "shell", "exec sleep 1000");
    const typed = `(sleep 1; printf 'echo $((6*7))\\r'; sleep 1; printf 'exit\\r'; sleep 1)`;
    assert.match(await host.run(`${typed} | script -qec 'crictl exec -it ${id} sh' /dev/null`), /^42\r*$/m);
  });

  it("tells exit codes, and an end for want of memory", async () => {
    const ends = await pod("ends");
    const six = await container(ends, "six", "exit 6");
    const hungry = await container(ends, "hungry", "x=x; while :; do x=$x$x; done");
    await host.until(`crictl inspect ${six}`, /"exitCode": 6/);
    await host.until(`crictl inspect ${hungry}`, /"exitCode": 137/);
    await host.until(`crictl inspect ${hungry}`, /OOMKilled/);
  });

  it("keeps its pods when containerd starts again", async () => {
    const kept = await pod("kept");
    const id = await container(kept, "goes", "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done");
    const shims = await host.shims("k8s.io");
    await cri.restart();
    await host.until("crictl pods", /Ready +kept/);
    assert.deepEqual(await host.shims("k8s.io"), shims);
    assert.equal(await host.run(`crictl exec -s ${id} echo in`), "in");
    const before = Number(await host.run(`crictl logs --tail 1 ${id}`));
    await host.until(`crictl logs ${id}`, new RegExp(`^${before + 5}$`, "m"));
  });

  it("updates the limits of what runs", async () => {
    const id = await container(await pod("limits"), "box", "exec sleep 1000");
    await host.run(`crictl update --memory ${128 << 20} ${id}`);
    const file = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes 2>/dev/null || cat memory.max";
    assert.equal(await host.run(`crictl exec -s ${id} sh -c '${file}'`), String(128 << 20));
  });
});
