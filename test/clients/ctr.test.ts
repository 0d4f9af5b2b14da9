/** containerd's own client: a container's life by ctr. */
import assert from "node:assert/strict";
import { Host } from "./host.js";

const BASE = "pclive.test/base:latest";
const RUN = "ctr run --runtime io.containerd.pclive.v2";

describe("ctr", function () {
  this.timeout(120_000);
  let host: Host;
  before(async () => {
    host = await Host.up();
  });
  afterEach(async () => {
    await host.outcome("for c in $(ctr c ls -q); do ctr t rm -f $c; ctr c rm $c; done");
    await host.assertNoShims("default");
  });

  it("runs a command to its end, with its output and exit code", async () => {
    assert.equal(await host.run(`${RUN} --rm ${BASE} one echo out`), "out");
    const { code, stdout, stderr } = await host.outcome(
      `${RUN} --rm ${BASE} one sh -c 'echo out; echo err >&2; exit 7'`,
    );
    assert.deepEqual([code, stdout, stderr], [7, "out\n", "err\n"]);
  });

  it("feeds standard input to its end", async () => {
    // More than pipes hold: ctr forgets an end of input that comes before its task is made.
    assert.equal(await host.run(`head -c 5M /dev/zero | ${RUN} --rm ${BASE} one wc -c`), String(5 << 20));
  });

  it("says what runC says when a command cannot start, and leaves nothing", async () => {
    const { code, stderr } = await host.outcome(`${RUN} --rm ${BASE} one /no/such`);
    assert.notEqual(code, 0);
    assert.match(stderr, /runc create failed: .*no such file or directory/);
    assert.equal(await host.run("ctr t ls -q"), "");
  });

  it("runs in the background: list, exec, ps, metrics, pause, resume, kill, delete", async () => {
    await host.run(`${RUN} -d ${BASE} two sleep 1000`);
    await host.assertShims("default", 1);
    assert.match(await host.run("ctr t ls"), /^two +\d+ +RUNNING/m);
    assert.equal(await host.run("ctr t exec --exec-id e two sh -c 'echo in; exit 0'"), "in");
    assert.equal((await host.outcome("ctr t exec --exec-id e two sh -c 'exit 9'")).code, 9);
    await host.run("ctr t exec -d --exec-id sleeper two sleep 1000");
    assert.equal((await host.run("ctr t ps two")).split("\n").length, 3);
    await host.run("ctr t kill --exec-id sleeper -s KILL two");
    await host.until("ctr t ps two | wc -l", /^2\n/);
    assert.match(await host.run("ctr t metrics two"), /memory/);
    await host.run("ctr t pause two");
    assert.match(await host.run("ctr t ls"), /PAUSED/);
    await host.run("ctr t resume two");
    assert.match(await host.run("ctr t ls"), /RUNNING/);
    await host.run("ctr t kill -s KILL two");
    await host.until("ctr t ls", /STOPPED/);
    assert.match((await host.outcome("ctr t rm two")).stderr, /non-zero exit code 137/);
    await host.run("ctr c rm two");
  });

  it("starts a container again after its task is gone", async () => {
    await host.run(`ctr c create --runtime io.containerd.pclive.v2 ${BASE} again`);
    for (const count of [1, 2]) {
      await host.run("ctr t start -d again");
      assert.equal(
        await host.run("ctr t exec --exec-id e again sh -c 'echo run >>/data/log; wc -l </data/log'"),
        `${count}`,
      );
      await host.run("ctr t rm -f again");
    }
  });

  it("runs several containers, started at once, each with a shim of its own", async () => {
    await host.run(
      `for n in 1 2 3 4 5; do ${RUN} -d ${BASE} many$n sleep 1000 & jobs+=($!); done; for j in "\${jobs[@]}"; do wait $j || exit 1; done`,
    );
    await host.assertShims("default", 5);
    assert.equal(await host.run("ctr t ls | grep -c RUNNING"), "5");
    await host.run("for n in 1 2 3 4 5; do ctr t kill -s KILL many$n; done");
  });

  it("tells every event once, in order", async () => {
    const { code, stdout } = await host.outcome(
      `timeout 20 ctr events >/tmp/events & sleep 1
       ${RUN} -d ${BASE} seen sleep 1000
       ctr t exec --exec-id e seen true; ctr t pause seen; ctr t resume seen
       ctr t kill -s KILL seen; sleep 0.5; ctr t rm seen; ctr c rm seen; sleep 0.5; kill %1
       grep -o '/tasks/[a-z-]*' /tmp/events`,
    );
    assert.equal(code, 0);
    assert.deepEqual(
      stdout.trim().split("\n"),
      [
        ...["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit", "delete"],
      ].map((name) => `/tasks/${name}`),
    );
  });
});
