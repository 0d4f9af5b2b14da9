/** The binary itself: its actions and flags, grouping, and calls that are no calls. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import type { Spec } from "../bundle.js";
import type { Container } from "../container.js";
import { codeOf } from "../record.js";
import { type Difference, row } from "../row.js";
import type { Scene } from "../scene.js";
import { addressOf } from "../shim.js";

const SLEEP = ["sleep", "1000"];
const METHODS = ["Create", "State", "Kill", "Exec", "Wait", "Shutdown"];
const grouped = (name: string, group: string) => ({
  spec: (spec: Spec) => {
    spec.annotations = { [name]: group };
  },
});
const bytes = {
  encode: (value: Uint8Array) => ({ finish: () => value }),
  decode: (value: Uint8Array) => value,
};

function noteDelete(
  scene: Scene,
  label: string,
  { status, stdout }: { status: number; stdout: Buffer },
): void {
  const answer = stdout.length > 0 ? containerd.task.v2.DeleteResponse.decode(stdout) : "no answer";
  scene.note(label, `status ${status}, ${scene.record.describe(answer)}`);
}

async function raw(
  scene: Scene,
  c: Container,
  service: string,
  method: string,
  payload: Uint8Array,
): Promise<void> {
  const line = scene.record.open(`${service.split(".").at(-1)}/${method} with ${payload.length} bytes`);
  try {
    await c.shim.client.call(service, method, { request: bytes, response: bytes }, payload);
    line.outcome = "ok";
  } catch (error) {
    line.outcome = codeOf(error);
  }
}

const SOCKETS: readonly Difference[] = [
  {
    label: "left behind",
    stock: /^socket of c1\nsocket of c2$/,
    ours: /^$/,
    generations: /^2\./,
    reason: "the stock shim forgets the socket of a group",
  },
];

function groupRow(name: string) {
  const steps = async (scene: Scene) => {
    const change = grouped(name, "together");
    const one = await scene.container(SLEEP, change);
    const two = await scene.container(SLEEP, change);
    scene.note("one address", scene.addressOf(one) === scene.addressOf(two));
    scene.note("one shim", scene.shimPid(one) === scene.shimPid(two));
    for (const c of [one, two]) {
      await c.create();
      await c.start();
    }
    await one.kill(9);
    await one.wait();
    await one.delete();
    await one.shutdown();
    await two.state();
    await two.exec("e", ["true"]);
    await two.start("e");
    await two.wait("e");
  };
  return row(`group: by ${name}`, steps, SOCKETS);
}

export const binaryRows = [
  row("binary: -v", async (scene) => {
    const { status, stdout, stderr } = await scene.runPlain(["-v"]);
    scene.note("status", status);
    scene.note("tells", /Version:/.test(stdout.toString() + stderr));
  }),
  row(
    "binary: a flag that it does not know",
    async (scene) => {
      const bundled = scene.bundle(SLEEP);
      const { status } = await scene.run(bundled, "start", ["-unheard-of=1"]);
      scene.note("status", status);
      if (status === 0) await scene.connect(bundled);
    },
    [
      {
        label: "status",
        stock: /^[12]$/,
        ours: /^0$/,
        reason: "a later containerd may pass new flags, which shall not stop containers from starting",
      },
    ],
  ),
  row("binary: an action that it does not know", async (scene) => {
    const { status } = await scene.run(scene.bundle(SLEEP), "dance");
    scene.note("fails", status !== 0);
  }),
  row("binary: start without a namespace", async (scene) => {
    const { status } = await scene.runPlain(["-id", "x", "-address", "/none", "start"]);
    scene.note("fails", status !== 0);
  }),
  row("binary: start without config.json", async (scene) => {
    const bundled = scene.bundle(SLEEP);
    rmSync(join(bundled.bundle, "config.json"));
    const { status, stdout, stderr } = await scene.run(bundled, "start");
    scene.note("fails", status !== 0);
    scene.note("tells", /config\.json/.test(stdout.toString() + stderr));
  }),
  row("binary: start with a malformed config.json", async (scene) => {
    const bundled = scene.bundle(SLEEP);
    writeFileSync(join(bundled.bundle, "config.json"), "{ not");
    const { status } = await scene.run(bundled, "start");
    scene.note("fails", status !== 0);
  }),
  row("binary: start twice", async (scene) => {
    const c = await scene.container(SLEEP);
    const { status, stdout } = await scene.run(c, "start");
    scene.note("status", status);
    scene.note("same address", addressOf(stdout) === scene.addressOf(c));
    await c.create();
  }),
  row("binary: start prints an address and nothing else", async (scene) => {
    const bundled = scene.bundle(SLEEP);
    const { stdout, stderr } = await scene.run(bundled, "start");
    const address = addressOf(stdout);
    scene.note("address", /^unix:\/\/\/run\/containerd\/s\/[0-9a-f]{64}$/.test(address));
    scene.note("stderr", stderr);
    scene.note("socket is there", existsSync(address.replace("unix://", "")));
    await scene.connect(bundled);
  }),
  row("binary: start with runtime options on its input", async (scene) => {
    const value = containerd.runc.v1.Options.encode({ binaryName: "runc" }).finish();
    const field = (tag: number, content: Uint8Array) =>
      Buffer.concat([Buffer.from([tag, content.length]), content]);
    const any = Buffer.concat([field(10, Buffer.from("containerd.runc.v1.Options")), field(18, value)]);
    const bundled = scene.bundle(SLEEP);
    const { status } = await scene.run(bundled, "start", [], any);
    scene.note("status", status);
    await scene.connect(bundled);
  }),
  row("binary: start after a shim that was killed", async (scene) => {
    const c = await scene.container(SLEEP);
    await scene.killShim(c);
    const again = await scene.connect(c);
    await again.create();
    await again.start();
  }),
  row("binary: delete without a server, twice", async (scene) => {
    const c = await scene.running();
    await scene.killShim(c);
    noteDelete(scene, "first", await scene.run(c, "delete"));
    scene.note("mounts", scene.mounts(c.bundle));
    noteDelete(scene, "second", await scene.run(c, "delete"));
  }),
  row("binary: delete without a server, of the created", async (scene) => {
    const c = await scene.container(SLEEP);
    await c.create();
    await scene.killShim(c);
    noteDelete(scene, "delete", await scene.run(c, "delete"));
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("binary: delete without a server, of the paused", async (scene) => {
    const c = await scene.running();
    await c.pause();
    await scene.killShim(c);
    noteDelete(scene, "delete", await scene.run(c, "delete"));
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("binary: delete with a server", async (scene) => {
    const c = await scene.running();
    noteDelete(scene, "delete", await scene.run(c, "delete"));
    await c.wait();
    await c.state();
    await c.delete();
  }),
  row(
    "binary: delete of a bundle in which nothing was created",
    async (scene) => {
      const bundled = scene.bundle(SLEEP);
      noteDelete(scene, "delete", await scene.run(bundled, "delete"));
    },
    [
      {
        label: "delete",
        stock: /^status (1, no answer|0, pid=unknown)/,
        ours: /^status 0, exitStatus=137/,
        reason: "there is nothing to fail at, and no pid to tell",
      },
    ],
  ),
  row("binary: delete with a damaged options.json", async (scene) => {
    const c = await scene.running();
    await scene.killShim(c);
    writeFileSync(join(c.bundle, "options.json"), "{ not");
    const { status } = await scene.run(c, "delete");
    scene.note("status", status);
  }),
  row(
    "binary: delete without init.pid",
    async (scene) => {
      const c = await scene.running();
      await scene.killShim(c);
      rmSync(join(c.bundle, "init.pid"));
      noteDelete(scene, "delete", await scene.run(c, "delete"));
    },
    [
      {
        label: "delete",
        stock: /^status 0, pid=unknown/,
        ours: /^status 0, exitStatus=137/,
        reason: "the stock shim tells pid 4294967295",
      },
    ],
  ),
  groupRow("io.containerd.runc.v2.group"),
  groupRow("io.kubernetes.cri.sandbox-id"),
  row(
    "group: a container of the group is deleted without its server",
    async (scene) => {
      const change = grouped("io.containerd.runc.v2.group", "apart");
      const one = await scene.running(SLEEP, change);
      const two = await scene.running(SLEEP, change);
      noteDelete(scene, "delete", await scene.run(one, "delete"));
      await one.wait();
      await two.state();
      await one.delete();
    },
    SOCKETS,
  ),
  row("wire: unknown services and methods", async (scene) => {
    const c = await scene.container(SLEEP);
    await raw(scene, c, "example.Nothing", "Create", new Uint8Array());
    await raw(scene, c, "containerd.task.v2.Task", "Dance", new Uint8Array()).catch(() => {});
    await raw(scene, c, "", "", new Uint8Array());
    await c.create();
  }),
  row(
    "wire: payloads that cannot be decoded",
    async (scene) => {
      const c = await scene.running();
      for (const method of METHODS) await raw(scene, c, c.shim.service, method, Buffer.from("0a7f00", "hex"));
      await c.state();
    },
    METHODS.map((method) => ({
      label: `Task/${method} with 3 bytes`,
      stock: /^INTERNAL$/,
      ours: /^INVALID_ARGUMENT$/,
      reason: "the code says whose fault it is",
    })),
  ),
  row("wire: fields that are not known", async (scene) => {
    const c = await scene.running();
    const id = Buffer.from(c.id);
    const payload = Buffer.concat([Buffer.from([10, id.length]), id, Buffer.from("f2060378797a", "hex")]);
    const line = scene.record.open("State with field 110");
    const answer = await c.shim.client
      .call(c.shim.service, "State", { request: bytes, response: bytes }, payload)
      .catch(codeOf);
    line.outcome = typeof answer === "string" ? answer : "ok";
  }),
  row("wire: many calls at once", async (scene) => {
    const c = await scene.running();
    const states = Array.from({ length: 200 }, () => c.shim.task.State({ id: c.id }));
    const kinds = new Set((await Promise.all(states)).map(({ status }) => status));
    scene.note("statuses", [...kinds]);
  }),
  row("wire: a deadline that passes", async (scene) => {
    const c = await scene.running();
    const answer = await c.shim.task.Wait({ id: c.id }, { timeoutMs: 300 }).catch(codeOf);
    scene.note("answer", answer);
    await c.state();
  }),
];
