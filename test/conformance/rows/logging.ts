/** Logging programs (binary://, binary-v2://): how they are called, and what becomes of a task when they fail. */
import { chmodSync, closeSync, constants, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { containerd } from "#protos/shim";
import type { Container } from "../container.js";
import { betterRow, type Difference, row } from "../row.js";
import type { Scene } from "../scene.js";

const BOTH = ["sh", "-c", "echo out; echo err >&2"];
const READY = "exec 5>&-";
const COPY = "cat <&3 >>$OUT; cat <&4 >>$OUT";

/** A program in the row's folder; $OUT is the file whose name is given. */
function program(scene: Scene, body: string, name = "logger", mode = 0o755): string {
  const path = scene.path(name);
  writeFileSync(path, `#!/bin/sh\nOUT=${scene.path("log")}\n${body}\n`);
  chmodSync(path, mode);
  return path;
}

/** Creates and starts a container whose output goes there; waits for its end, and deletes it. */
async function logged(scene: Scene, stdout: string, args: readonly string[] = BOTH): Promise<Container> {
  const c = await scene.container(args);
  if ((await c.create({ stdout })) === undefined) return c;
  await c.start();
  await c.wait();
  await c.delete();
  return c;
}

async function refusedRow(scene: Scene, stdout: string): Promise<void> {
  const c = await scene.container(BOTH);
  await c.create({ stdout });
  scene.note("mounts", scene.mounts(c.bundle));
  await c.state();
}

/** Milliseconds, in coarse steps. */
async function took(work: Promise<unknown>, least: number): Promise<string> {
  const begun = performance.now();
  await work;
  return performance.now() - begun >= least ? "as long as it must" : "too short";
}

const NOT_YET = /^(1\.|2\.[0-2]$)/;
/** Before containerd 2.3 the scheme is unknown to the stock shim. */
function sinceV2(labels: readonly string[]): readonly Difference[] {
  return labels.map((label) => ({
    label,
    stock: /^(?!pid=)/,
    ours: /./,
    generations: NOT_YET,
    reason: "the scheme of containerd 2.3",
  }));
}

export const loggingRows = [
  row("logging: its arguments", async (scene) => {
    const path = program(
      scene,
      `${READY}\necho "$#" >$OUT; for each; do echo "<$each>"; done | sort >>$OUT; ${COPY}`,
    );
    await logged(scene, `binary://${path}?b=2&a=1&a=3&empty=&bare&plus=x+y&per%20cent=%2Fpath%3D`);
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").slice(0, 13));
  }),
  row("logging: no arguments", async (scene) => {
    const path = program(scene, `${READY}\necho "$#" >$OUT; ${COPY}`);
    await logged(scene, `binary://${path}`);
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").slice(0, 1));
  }),
  row("logging: its environment and folder", async (scene) => {
    const look = `tr '\\0' '\\n' </proc/$$/environ | sort >$OUT; pwd >>$OUT; ${READY}`;
    await logged(scene, `binary://${program(scene, `${look}; cat <&3 >/dev/null`)}`);
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").sort());
  }),
  row("logging: its descriptors", async (scene) => {
    const look = `all=$(for fd in 0 1 2 3 4 5 6 7 8 9; do echo "$fd $(readlink /proc/$$/fd/$fd | sed s/[0-9]//g)"; done); echo "$all" >$OUT`;
    await logged(scene, `binary://${program(scene, `${look}; ${READY}; cat <&3 >/dev/null`)}`);
    scene.note("log", await scene.text(scene.path("log")));
  }),
  row("logging: a path with spaces and signs", async (scene) => {
    program(scene, `${READY}\necho called >$OUT; ${COPY}`, "a logger+x");
    await logged(scene, `binary://${scene.folder}/a%20logger+x`);
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").slice(0, 1));
  }),
  row("logging: a scheme with one colon only", async (scene) => {
    await logged(scene, `binary:${program(scene, `${READY}\necho called >$OUT; ${COPY}`)}`);
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").slice(0, 1));
  }),
  row("logging: a host in the URI", async (scene) => {
    await logged(scene, `binary://host${program(scene, `${READY}\necho called >$OUT; ${COPY}`)}`);
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").slice(0, 1));
  }),
  row("logging: a URI without a path", (scene) => refusedRow(scene, "binary://logger")),
  row("logging: nothing but the scheme", (scene) => refusedRow(scene, "binary://")),
  row("logging: a scheme that does not exist", (scene) => refusedRow(scene, "syslog://host/path")),
  row("logging: a program that may not be executed", async (scene) => {
    await refusedRow(scene, `binary://${program(scene, "exit 0", "logger", 0o644)}`);
  }),
  row("logging: a folder", (scene) => refusedRow(scene, `binary://${scene.folder}`)),
  row("logging: ready by a byte", async (scene) => {
    const path = program(scene, `echo ready >&5; ${COPY}`);
    await logged(scene, `binary://${path}`);
    scene.note("log", (await scene.text(scene.path("log"), 4)).split("\n").slice(0, 1));
  }),
  row("logging: ready after a second", async (scene) => {
    const path = program(scene, `sleep 1; ${READY}; ${COPY}`);
    const c = await scene.container(BOTH);
    scene.note("create takes", await took(c.create({ stdout: `binary://${path}` }), 950));
  }),
  betterRow(
    "logging: never ready",
    async (scene) => {
      const c = await scene.container(BOTH);
      await c.create({ stdout: `binary://${program(scene, "sleep 25")}` });
      scene.note("mounts", scene.mounts(c.bundle));
    },
    {
      stock: { "c1 Create": /^(DEADLINE_EXCEEDED|UNAVAILABLE|no answer)/ },
      ours: { "c1 Create": /^UNKNOWN/, mounts: /^0$/, "left behind": /^$/ },
      reason: "the stock shim waits for ever, ours for 10 s",
    },
  ),
  row(
    "logging: a program that has ended",
    async (scene) => {
      const c = await scene.container(["sh", "-c", "sleep 0.5; echo out; echo err >&2; exit 3"]);
      await c.create({ stdout: `binary://${program(scene, "exit 1")}` });
      await c.start();
      await c.wait();
      scene.forgetEvents();
    },
    [
      {
        label: "c1 Wait",
        stock: /^exitStatus=(141|3) /,
        ours: /^exitStatus=3 /,
        reason: "a task shall not die of its log",
      },
    ],
  ),
  row("logging: told to end at Delete", async (scene) => {
    const path = program(
      scene,
      `trap 'echo told >>$OUT; exit 0' TERM; ${READY}\nwhile :; do sleep 0.05; done`,
    );
    await logged(scene, `binary://${path}`);
    scene.note("log", await scene.text(scene.path("log")));
  }),
  row("logging: does not end when told", async (scene) => {
    const path = program(scene, `trap '' TERM; echo $$ >$OUT; ${READY}\nwhile :; do sleep 0.2; done`);
    const c = await scene.container(BOTH);
    await c.create({ stdout: `binary://${path}` });
    await c.start();
    await c.wait();
    scene.note("delete takes", await took(c.delete(), 11_500));
    const pid = readFileSync(scene.path("log"), "utf8").trim();
    scene.note("is there", isThere(pid));
  }),
  row("logging: of an exec", async (scene) => {
    const c = await scene.running();
    const path = program(scene, `${READY}\necho "$CONTAINER_NAMESPACE \${CONTAINER_ID##*-}" >$OUT; ${COPY}`);
    await c.exec("e", BOTH, { stdout: `binary://${path}` });
    await c.start("e");
    await c.wait("e");
    await c.delete("e");
    scene.note("log", (await scene.text(scene.path("log"))).split("\n").slice(0, 1));
  }),
  row("logging: of an exec, missing", async (scene) => {
    const c = await scene.running();
    await c.exec("e", BOTH, { stdout: `binary://${scene.path("none")}` });
    await c.start("e");
    await c.state("e");
    await c.delete("e");
  }),
  row(
    "logging: with input",
    async (scene) => {
      const path = program(scene, `${READY}\n${COPY}`);
      const stdin = scene.fifo("in");
      const c = await scene.container(["sh", "-c", 'read line; echo "got $line"; exit 6']);
      await c.create({ stdin, stdout: `binary://${path}` });
      await c.start();
      const client = openSync(stdin, constants.O_RDWR);
      writeSync(client, "words\n");
      await c.wait();
      await c.delete();
      closeSync(client);
      scene.note("log", await scene.text(scene.path("log"), 5));
    },
    [
      {
        label: "log",
        stock: /^got \n$|^$/,
        ours: /^got words\n$/,
        reason: "the stock shim takes the input away",
      },
    ],
  ),
  row("logging: owner of the streams by the options", async (scene) => {
    const path = program(scene, `${READY}\n${COPY}`);
    const value = containerd.runc.v1.Options.encode({ ioUid: 12, ioGid: 34 }).finish();
    const c = await scene.container(BOTH);
    await c.create({
      stdout: `binary://${path}`,
      options: { type_url: "containerd.runc.v1.Options", value },
    });
    await c.start();
    await c.wait();
  }),
  row(
    "logging, v2: ready by a byte",
    async (scene) => {
      const path = program(scene, `echo ready >&5; ${COPY}`);
      await logged(scene, `binary-v2://${path}`);
      scene.note("log", (await scene.text(scene.path("log"), 4)).split("\n").slice(0, 1));
    },
    [
      ...sinceV2(["c1 Create", "log", "c1 Start", "c1 Wait", "c1 Delete"]),
      ...[1, 2, 3, 4].flatMap((n) => sinceV2([`event ${n}`])),
    ],
  ),
  row("logging, v2: the end is no byte", (scene) =>
    refusedRow(scene, `binary-v2://${program(scene, READY)}`),
  ),
  row("logging, v2: a program that ends at once", (scene) =>
    refusedRow(scene, `binary-v2://${program(scene, "exit 0")}`),
  ),
];

function isThere(pid: string): boolean {
  try {
    process.kill(Number(pid), 0);
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}
