/** Where a container's streams may go: terminal, nothing, a file, a logging program. */
import assert from "node:assert/strict";
import { Host } from "./host.js";

const BASE = "pclive.test/base:latest";
const RUN = "ctr run --runtime io.containerd.pclive.v2";

// A logging program as containerd's contract has it: 3 stdout, 4 stderr, 5 is closed when it is ready.
const LOGGER = `#!/bin/sh
echo "$CONTAINER_NAMESPACE $CONTAINER_ID $*" >/tmp/logger.args
exec 5>&-
cat <&4 >/tmp/logger.err &
cat <&3 >/tmp/logger.out
wait
`;

describe("ctr, streams", function () {
  this.timeout(120_000);
  let host: Host;
  before(async () => {
    host = await Host.up();
    await host.run("cat >/usr/local/bin/logger && chmod 755 /usr/local/bin/logger", { input: LOGGER });
  });
  afterEach(async () => {
    await host.outcome("for c in $(ctr c ls -q); do ctr t rm -f $c; ctr c rm $c; done");
    await host.assertNoShims("default");
  });

  it("a terminal, in the size of the client's", async () => {
    const command = `stty rows 31 cols 97; ${RUN} --rm -t ${BASE} tty sh -c "tty; sleep 0.5; stty size"`;
    const output = await host.run(`script -qec '${command}' /dev/null </dev/null`);
    assert.match(output, /\/dev\/pts\/0\r*\n31 97/);
  });

  it("a terminal for an exec, which passes keys on", async () => {
    await host.run(`${RUN} -d ${BASE} tty sleep 1000`);
    const typed = `(sleep 1; printf 'echo $((6*7))\\r'; sleep 0.5; printf 'exit 3\\r'; sleep 1)`;
    const { code, stdout } = await host.outcome(
      `${typed} | script -qec 'ctr t exec -t --exec-id e tty sh' /dev/null`,
    );
    assert.match(stdout, /^42\r?$/m);
    assert.equal(code, 3);
  });

  it("nothing", async () => {
    await host.run(`${RUN} -d --null-io ${BASE} quiet sleep 1000`);
    const streams = "for fd in 0 1 2; do readlink /proc/1/fd/$fd; done";
    assert.equal(
      await host.run(`ctr t exec --exec-id e quiet sh -c '${streams}'`),
      "/dev/null\n".repeat(3).trim(),
    );
  });

  it("a file, to which both streams are appended", async () => {
    const say = `sh -c 'echo out; echo err >&2'`;
    for (const name of ["first", "second"]) {
      await host.run(`${RUN} -d --log-uri file:///tmp/logs/deep/both.log ${BASE} ${name} ${say}`);
      await host.until("ctr t ls", /STOPPED/);
      await host.run(`ctr t rm ${name}`);
    }
    assert.deepEqual((await host.run("sort /tmp/logs/deep/both.log")).split("\n"), [
      "err",
      "err",
      "out",
      "out",
    ]);
    await host.run("rm -r /tmp/logs");
  });

  it("a program, with its arguments", async () => {
    await host.run(
      `${RUN} -d --log-uri 'binary:///usr/local/bin/logger?key=value' ${BASE} logged sh -c 'echo out; echo err >&2'`,
    );
    await host.until("ctr t ls", /STOPPED/);
    await host.run("ctr t rm logged");
    assert.equal(
      await host.run("cat /tmp/logger.args /tmp/logger.out /tmp/logger.err"),
      "default logged key value\nout\nerr",
    );
  });

  it("much, without loss", async () => {
    const lines = `sh -c 'i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done'`;
    assert.equal(
      await host.run(`${RUN} --rm ${BASE} much ${lines} | sha256sum`),
      await host.run(`${lines} | sha256sum`),
    );
  });
});
