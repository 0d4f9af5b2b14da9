/** Standard streams, through fifos as containerd's clients use them. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  closeSync,
  constants,
  createReadStream,
  createWriteStream,
  existsSync,
  openSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { ShimBench, until } from "./bundle.js";

describe("streams", function () {
  this.timeout(30_000);
  const bench = new ShimBench();
  before(() => bench.open());
  after(() => bench.close());

  function fifos(bundle: string): { stdin: string; stdout: string; stderr: string } {
    const paths = { stdin: join(bundle, "in"), stdout: join(bundle, "out"), stderr: join(bundle, "err") };
    execFileSync("mkfifo", Object.values(paths));
    return paths;
  }

  /** Everything from a fifo until all writers are gone. */
  function collect(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      let text = "";
      // Like containerd's clients: the open itself may wait for the shim.
      const stream = createReadStream(path, { encoding: "utf8" });
      stream.on("data", (chunk) => {
        text += chunk;
      });
      stream.on("end", () => resolve(text));
      stream.on("error", reject);
    });
  }

  it("carries input and both outputs; input ends by close and CloseIO", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/sh", "-c", "cat; echo end >&2"]);
    const { task } = await bench.start(id, bundle);
    const paths = fifos(bundle);
    const outputs = Promise.all([collect(paths.stdout), collect(paths.stderr)]);
    await task.Create({ id, bundle, rootfs: bench.rootfs(), ...paths });
    await task.Start({ id });
    const input = createWriteStream(paths.stdin);
    const text = "x".repeat(300_000);
    await new Promise<void>((resolve) => input.end(text, resolve));
    await task.CloseIO({ id, stdin: true });
    assert.equal((await task.Wait({ id })).exitStatus, 0);
    // The streams end before Delete: clients wait for that.
    const [out, err] = await outputs;
    assert.equal(out.length, text.length);
    assert.equal(err, "end\n");
    await task.Delete({ id });
    await task.Shutdown({ id });
  });

  it("lets readers come and go", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/sh", "-c", "read a; echo one; read b; echo two; read c"]);
    const { task } = await bench.start(id, bundle);
    const paths = fifos(bundle);
    const first = openSync(paths.stdout, constants.O_RDONLY | constants.O_NONBLOCK);
    const errors = collect(paths.stderr);
    await task.Create({ id, bundle, rootfs: bench.rootfs(), ...paths });
    await task.Start({ id });
    closeSync(first);
    writeFileSync(paths.stdin, "a\nb\n");
    // Opened before the process may end: what nobody reads by then is gone, and a fifo without a writer keeps its reader waiting.
    const late = openSync(paths.stdout, constants.O_RDONLY | constants.O_NONBLOCK);
    writeFileSync(paths.stdin, "c\n");
    await task.Wait({ id });
    await errors;
    await task.Delete({ id });
    assert.equal(readFileSync(late, "utf8"), "one\ntwo\n");
    closeSync(late);
    await task.Shutdown({ id });
  });

  it("gives a terminal, with the size asked for", async () => {
    const command = ["/bin/sh", "-c", "read x; stty size; test -t 0 && echo terminal"];
    const { id, bundle } = bench.makeBundle(command, (spec) => {
      spec.process.terminal = true;
    });
    const { task } = await bench.start(id, bundle);
    const paths = fifos(bundle);
    const output = collect(paths.stdout);
    const request = { id, bundle, rootfs: bench.rootfs(), ...paths, stderr: "", terminal: true };
    await task.Create(request);
    await task.ResizePty({ id, width: 91, height: 17 });
    await task.Start({ id });
    writeFileSync(paths.stdin, "go\n");
    await task.Wait({ id });
    assert.match(await output, /17 91\r\nterminal\r\n$/);
    await task.Delete({ id });
    await task.Shutdown({ id });
  });

  it("hands output to a logging binary, and waits for it to be ready", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/sh", "-c", "echo one; echo two >&2"]);
    const { task } = await bench.start(id, bundle);
    const logger = join(bundle, "logger");
    const log = join(bundle, "logged");
    writeFileSync(
      logger,
      `#!/bin/sh\necho "$CONTAINER_NAMESPACE $CONTAINER_ID $*" > ${log}\nexec 5>&-\n/bin/cat <&3 >> ${log}\n/bin/cat <&4 >> ${log}\n`,
    );
    chmodSync(logger, 0o755);
    await task.Create({ id, bundle, rootfs: bench.rootfs(), stdout: `binary://${logger}?a=b&c` });
    await task.Start({ id });
    await task.Wait({ id });
    await task.Delete({ id });
    assert.equal(readFileSync(log, "utf8"), `${bench.namespace} ${id} a b c \none\ntwo\n`);
    await task.Shutdown({ id });
  });

  it("refuses a scheme that it does not know, and leaves nothing open", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/true"]);
    const { task, address } = await bench.start(id, bundle);
    await assert.rejects(
      task.Create({ id, bundle, rootfs: bench.rootfs(), stdout: "ftp://x/y" }),
      /unknown stdio scheme/,
    );
    await task.Shutdown({ id });
    await until(() => !existsSync(address.replace("unix://", "")));
  });

  it("outlives the process that started it", async () => {
    const { id, bundle } = bench.makeBundle(["/bin/true"]);
    const { task } = await bench.start(id, bundle);
    const { shimPid } = await task.Connect({ id });
    const fds = execFileSync("ls", ["-l", `/proc/${shimPid}/fd`], { encoding: "utf8" });
    for (const number of [0, 1, 2]) assert.match(fds, new RegExp(` ${number} -> /dev/null`));
    await task.Shutdown({ id });
  });
});
