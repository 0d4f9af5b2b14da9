/** Standard streams: every scheme, the ends of streams, terminals. */
import {
  chmodSync,
  closeSync,
  constants,
  createWriteStream,
  mkdirSync,
  openSync,
  writeFileSync,
} from "node:fs";
import { containerd } from "#protos/shim";
import type { Spec } from "../bundle.js";
import { betterRow, row } from "../row.js";
import type { Scene } from "../scene.js";

const BOTH = ["sh", "-c", "echo out; echo err >&2"];
const terminal = {
  spec: (spec: Spec) => {
    spec.process.terminal = true;
  },
};

/** A program that writes its environment and both streams to a file, as logging programs do. */
function logger(scene: Scene, body: string): string {
  const path = scene.path("logger");
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Fifos for both outputs, as clients give them; the text is stdout's. */
function outputs(scene: Scene): { stdout: string; stderr: string; text: Promise<string> } {
  const [stdout, stderr] = [scene.fifo("out"), scene.fifo("err")];
  void scene.collect(stderr);
  return { stdout, stderr, text: scene.collect(stdout) };
}

/** Feeds a fifo that the shim reads. */
function write(path: string, text: string): Promise<void> {
  return new Promise((resolve) => createWriteStream(path, { flags: "r+" }).end(text, () => resolve()));
}

export const streamRows = [
  row("streams: none", async (scene) => {
    const c = await scene.running(["sh", "-c", "ls -l /proc/self/fd | grep -c /dev/null; test -t 0"]);
    await c.wait();
  }),
  row("streams: fifos end when the process does, before Delete", async (scene) => {
    const c = await scene.container(BOTH);
    const [stdout, stderr] = [scene.fifo("out"), scene.fifo("err")];
    const texts = [scene.collect(stdout), scene.collect(stderr)];
    await c.create({ stdout, stderr });
    await c.state();
    await c.start();
    await c.wait();
    scene.note("outputs", await Promise.all(texts));
    await c.delete();
  }),
  betterRow(
    "streams: stdout only",
    async (scene) => {
      const c = await scene.container(BOTH);
      const stdout = scene.fifo("out");
      const text = scene.collect(stdout);
      await c.create({ stdout });
      await c.start();
      await c.wait();
      scene.note("output", await text);
    },
    {
      stock: { "c1 Create": /^UNKNOWN/, "left behind": /cgroup/ },
      ours: { "c1 Create": /^pid=/, output: /^out\n$/, "left behind": /^$/ },
      reason: "the stock shim wants both, and leaves a container that nobody knows",
    },
  ),
  betterRow(
    "streams: stderr only",
    async (scene) => {
      const c = await scene.container(BOTH);
      const stderr = scene.fifo("err");
      const text = scene.collect(stderr);
      await c.create({ stderr });
      await c.start();
      await c.wait();
      scene.note("output", await text);
    },
    {
      stock: { "c1 Create": /^UNKNOWN/, "left behind": /cgroup/ },
      ours: { "c1 Create": /^pid=/, output: /^err\n$/, "left behind": /^$/ },
      reason: "the stock shim wants both, and leaves a container that nobody knows",
    },
  ),
  row("streams: 1 MB through both fifos", async (scene) => {
    const c = await scene.container(["sh", "-c", "head -c 1000000 /dev/zero; head -c 1000000 /dev/zero >&2"]);
    const [stdout, stderr] = [scene.fifo("out"), scene.fifo("err")];
    const texts = [scene.collect(stdout), scene.collect(stderr)];
    await c.create({ stdout, stderr });
    await c.start();
    await c.wait();
    scene.note(
      "lengths",
      (await Promise.all(texts)).map((text) => text.length),
    );
  }),
  row("streams: stdin ends by the client's end and CloseIO", async (scene) => {
    const c = await scene.container(["cat"]);
    const stdin = scene.fifo("in");
    const { stdout, stderr, text } = outputs(scene);
    await c.create({ stdin, stdout, stderr });
    await c.start();
    const client = openSync(stdin, constants.O_WRONLY | constants.O_NONBLOCK);
    writeFileSync(client, "hello");
    await c.blocked("both open", c.shim.task.Wait({ id: c.id }));
    await c.closeStdin();
    await c.blocked("CloseIO only", c.shim.task.Wait({ id: c.id }));
    closeSync(client);
    await c.wait();
    scene.note("output", await text);
  }),
  row("streams: stdin whose client leaves stays open until CloseIO", async (scene) => {
    const c = await scene.container(["cat"]);
    const stdin = scene.fifo("in");
    const { stdout, stderr, text } = outputs(scene);
    await c.create({ stdin, stdout, stderr });
    await c.start();
    await write(stdin, "one ");
    await c.blocked("client gone", c.shim.task.Wait({ id: c.id }));
    await write(stdin, "two");
    await c.closeStdin();
    await c.wait();
    scene.note("output", await text);
  }),
  row("streams: exec with fifos and stdin", async (scene) => {
    const c = await scene.running();
    const [stdin, stdout, stderr] = [scene.fifo("in"), scene.fifo("out"), scene.fifo("err")];
    const texts = [scene.collect(stdout), scene.collect(stderr)];
    await c.exec("e", ["sh", "-c", "cat; echo err >&2"], { stdin, stdout, stderr });
    await c.start("e");
    await write(stdin, "hello");
    await c.closeStdin("e");
    await c.wait("e");
    scene.note("outputs", await Promise.all(texts));
    await c.delete("e");
  }),
  betterRow(
    "streams: fifo that is missing",
    async (scene) => {
      const c = await scene.container(BOTH);
      await c.create({ stdout: scene.path("none") }, { says: /no such file|ENOENT/ });
      scene.note("mounts", scene.mounts(c.bundle));
      await c.state();
    },
    {
      stock: { "c1 Create": /^UNKNOWN, says/, "left behind": /cgroup/ },
      ours: { "c1 Create": /^UNKNOWN, says/, mounts: /^0$/, "c1 State": /^NOT_FOUND/, "left behind": /^$/ },
      reason: "the stock shim leaves a container that nobody knows",
    },
  ),
  betterRow(
    "streams: stdin fifo that is missing",
    async (scene) => {
      const c = await scene.container(BOTH);
      await c.create({ stdin: scene.path("none") }, { says: /no such file|ENOENT/ });
      scene.note("mounts", scene.mounts(c.bundle));
      await c.state();
    },
    {
      stock: { "c1 Create": /^DEADLINE_EXCEEDED/ },
      ours: { "c1 Create": /^UNKNOWN, says/, mounts: /^0$/, "c1 State": /^NOT_FOUND/, "left behind": /^$/ },
      reason: "the stock shim waits for ever",
    },
  ),
  row("streams: unknown scheme", async (scene) => {
    const c = await scene.container(BOTH);
    await c.create({ stdout: "carrier-pigeon:///coop" }, { says: /unknown.*scheme/i });
    scene.note("mounts", scene.mounts(c.bundle));
    await c.state();
  }),
  row("streams: exec with an unknown scheme", async (scene) => {
    const c = await scene.running();
    await c.exec("e", ["true"], { stdout: "carrier-pigeon:///coop" });
    await c.start("e", { says: /unknown.*scheme/i });
    await c.state("e");
  }),
  row("streams: file", async (scene) => {
    const c = await scene.container(BOTH);
    const path = scene.path("deep/er/log");
    await c.create({ stdout: `file://${path}`, stderr: `file://${path}` });
    await c.start();
    await c.wait();
    scene.note("file", (await scene.text(path, 8)).split("\n").sort());
    await c.delete();
    scene.note("mode", scene.mode("deep/er/log"));
    scene.note("folder's mode", scene.mode("deep/er"));
  }),
  row("streams: file that is there already", async (scene) => {
    writeFileSync(scene.path("log"), "before\n");
    const c = await scene.container(["echo", "after"]);
    await c.create(scene.file("log"));
    await c.start();
    await c.wait();
    await c.delete();
    scene.note("file", await scene.text(scene.path("log")));
  }),
  betterRow(
    "streams: file for stdout only",
    async (scene) => {
      const c = await scene.container(["echo", "hello"]);
      await c.create({ stdout: `file://${scene.path("log")}` });
      await c.start();
      await c.wait();
      scene.note("file", await scene.text(scene.path("log")));
    },
    {
      stock: { "c1 Create": /^UNAVAILABLE/ },
      ours: { "c1 Wait": /^exitedAt/, file: /^hello/, "left behind": /^$/ },
      reason: "the stock shim crashes",
    },
  ),
  row("streams: file where a folder is", async (scene) => {
    mkdirSync(scene.path("folder"));
    const c = await scene.container(BOTH);
    await c.create({ stdout: `file://${scene.path("folder")}` });
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("streams: binary", async (scene) => {
    const out = scene.path("log");
    const body = `exec 5>&-\necho "$# $1 $2 $CONTAINER_NAMESPACE \${CONTAINER_ID##*-}" >${out}; cat <&3 >>${out}; cat <&4 >>${out}; echo end >>${out}`;
    const path = logger(scene, body);
    const c = await scene.container(BOTH);
    await c.create({ stdout: `binary://${path}?key=value` });
    await c.start();
    await c.wait();
    await c.delete();
    // Whether it may read to the end before it is told to stop is a race in the stock shim.
    scene.note("log", (await scene.text(out)).split("\n").slice(0, 2));
  }),
  row("streams: binary that is missing", async (scene) => {
    const c = await scene.container(BOTH);
    await c.create({ stdout: `binary://${scene.path("none")}` });
    scene.note("mounts", scene.mounts(c.bundle));
    await c.state();
  }),
  row("streams: binary that ends at once", async (scene) => {
    const c = await scene.container(BOTH);
    await c.create({ stdout: `binary://${logger(scene, "exit 1")}` });
    await c.state();
    // The stock shim may lose the end of what was never started.
    scene.forgetEvents();
  }),
  row("streams: owner of the pipes by the options", async (scene) => {
    const c = await scene.container(["sh", "-c", "stat -L -c '%u %g' /proc/self/fd/1 >&1"]);
    const { stdout, stderr, text } = outputs(scene);
    const value = containerd.runc.v1.Options.encode({ ioUid: 12, ioGid: 34 }).finish();
    await c.create({ stdout, stderr, options: { type_url: "containerd.runc.v1.Options", value } });
    await c.start();
    await c.wait();
    scene.note("owner", await text);
  }),
  row("terminal: init has one, of the size asked for", async (scene) => {
    const c = await scene.container(
      ["sh", "-c", "read x; stty size; test -t 0 && test -t 2 && echo tty"],
      terminal,
    );
    const [stdin, stdout] = [scene.fifo("in"), scene.fifo("out")];
    const text = scene.collect(stdout);
    await c.create({ stdin, stdout, terminal: true });
    await c.state();
    await c.resize(81, 26);
    await c.start();
    await write(stdin, "go\n");
    await c.wait();
    scene.note("output", JSON.stringify(await text));
    await c.resize(82, 27);
  }),
  row("terminal: resized while it runs", async (scene) => {
    const program = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.05; done";
    const c = await scene.container(["sh", "-c", program], terminal);
    const stdout = scene.fifo("out");
    const text = scene.collect(stdout);
    await c.create({ stdout, terminal: true });
    await c.start();
    await new Promise((done) => setTimeout(done, 300));
    await c.resize(99, 33);
    await c.wait();
    scene.note("output", JSON.stringify(await text));
  }),
  row("terminal: exec has one", async (scene) => {
    const c = await scene.running();
    const [stdin, stdout] = [scene.fifo("in"), scene.fifo("out")];
    const text = scene.collect(stdout);
    await c.exec("e", ["sh", "-c", "read x; stty size; echo bye"], { stdin, stdout, terminal: true });
    await c.state("e");
    await c.start("e");
    await c.resize(90, 30, "e");
    await write(stdin, "go\n");
    await c.wait("e");
    scene.note("output", JSON.stringify(await text));
    await c.delete("e");
  }),
  row("terminal: size from config.json", async (scene) => {
    const spec = (each: Spec) => {
      each.process.terminal = true;
      each.process.consoleSize = { width: 71, height: 17 };
    };
    const c = await scene.container(["sh", "-c", "sleep 0.2; stty size"], { spec });
    const stdout = scene.fifo("out");
    const text = scene.collect(stdout);
    await c.create({ stdout, terminal: true });
    await c.start();
    await c.wait();
    scene.note("output", JSON.stringify(await text));
  }),
  row("terminal: asked for, but not in config.json", async (scene) => {
    const c = await scene.container(["true"]);
    const stdout = scene.fifo("out");
    void scene.collect(stdout);
    await c.create({ stdout, terminal: true });
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("terminal: in config.json, but not asked for", async (scene) => {
    const c = await scene.container(["true"], terminal);
    await c.create();
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("terminal: with a logging program", async (scene) => {
    const out = scene.path("log");
    const path = logger(scene, `exec 5>&-\ncat <&3 >${out}`);
    const c = await scene.container(["echo", "hello"], terminal);
    await c.create({ stdout: `binary://${path}`, terminal: true });
    await c.start();
    await c.wait();
    scene.note("log", JSON.stringify(await scene.text(out)));
  }),
  betterRow(
    "terminal: into a file",
    async (scene) => {
      const c = await scene.container(["echo", "hello"], terminal);
      await c.create({ stdout: `file://${scene.path("log")}`, terminal: true });
      await c.start();
      await c.wait();
      scene.note("log", JSON.stringify(await scene.text(scene.path("log"))));
    },
    {
      stock: { "c1 Create": /^UNKNOWN/, "left behind": /cgroup/ },
      ours: { "c1 Create": /^pid=/, log: /^"hello/, "left behind": /^$/ },
      reason: "the stock shim cannot",
    },
  ),
];
