/** Starts: by the launcher's quick way and by the shim's own, with the same outcome. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { ShimBench, type Spec, until } from "./bundle.js";

/** The quick way, and one that only the shim's own code goes: nobody else reads such a name. */
const WAYS: readonly [string, (spec: Spec) => void][] = [
  ["by the launcher", () => {}],
  [
    "by the shim's own code",
    (spec) => {
      spec.annotations = { 'a "name"': "" };
    },
  ],
];

describe("start", function () {
  this.timeout(60_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());

  for (const [name, change] of WAYS) {
    it(`${name}: the server has nothing of containerd's`, async () => {
      const { id, bundle } = bench.makeBundle(["/bin/true"], change);
      const { task, address } = await bench.start(id, bundle);
      assert.equal(readFileSync(join(bundle, "address"), "utf8"), address);
      const { shimPid } = await task.Connect({ id });
      const opened = readdirSync(`/proc/${shimPid}/fd`).map((fd) => [
        Number(fd),
        readlinkSync(`/proc/${shimPid}/fd/${fd}`),
      ]);
      const files = new Map(opened as [number, string][]);
      for (const fd of [0, 1, 2]) assert.equal(files.get(fd), "/dev/null");
      assert.ok(
        ![...files.values()].some((file) => file.includes("pclive-input")),
        "the input is still open",
      );
      const score = (pid: number | string) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
      assert.equal(score(shimPid), Math.min(score("self") + 1, 1000));
      await task.Shutdown({ id });
      await until(() => !existsSync(address.replace("unix://", "")));
    });

    it(`${name}: what Node says when it does not start is told, and nothing is left`, () => {
      const { id, bundle } = bench.makeBundle(["/bin/true"], change);
      const before = readdirSync("/run/containerd/s");
      process.env.PCLIVE_NODE = "/bin/ls";
      try {
        const { stderr, status } = bench.run("start", id, bundle);
        assert.notEqual(status, 0);
        assert.match(stderr, /unrecognized option/);
      } finally {
        delete process.env.PCLIVE_NODE;
      }
      assert.ok(!existsSync(join(bundle, "address")));
      assert.deepEqual(readdirSync("/run/containerd/s"), before);
    });
  }

  for (const [name, change] of WAYS) {
    it(`${name}: joins the server of the group, whoever has started that`, async () => {
      for (const [, changeFirst] of WAYS) {
        const group = (spec: Spec) => {
          spec.annotations = { ...spec.annotations, "io.containerd.runc.v2.group": "start-test" };
        };
        const first = bench.makeBundle(["/bin/true"], (spec) => {
          changeFirst(spec);
          group(spec);
        });
        const second = bench.makeBundle(["/bin/true"], (spec) => {
          change(spec);
          group(spec);
        });
        const { task, address } = await bench.start(first.id, first.bundle);
        const joined = await bench.start(second.id, second.bundle);
        assert.equal(joined.address, address);
        assert.equal(readFileSync(join(second.bundle, "address"), "utf8"), address);
        await task.Shutdown({ id: first.id });
        await until(() => !existsSync(address.replace("unix://", "")));
      }
    });
  }

  it("takes the place of a server that was killed, and joins one that is there", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/true"]);
    const first = await bench.start(id, bundle);
    const { shimPid } = await first.task.Connect({ id });
    const joined = await bench.start(id, bundle);
    assert.equal((await joined.task.Connect({ id })).shimPid, shimPid);
    process.kill(shimPid, "SIGKILL");
    await until(() => first.client.closed.aborted);
    const second = await bench.start(id, bundle);
    assert.equal(second.address, first.address);
    assert.notEqual((await second.task.Connect({ id })).shimPid, shimPid);
    await second.task.Shutdown({ id });
  });
});
