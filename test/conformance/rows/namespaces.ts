/** Containers with a user namespace of their own, and mounts with shifted owners. */
import { chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { containerd } from "#protos/shim";
import type { Spec } from "../bundle.js";
import type { Container } from "../container.js";
import { row } from "../row.js";
import type { Scene } from "../scene.js";

const SLEEP = ["sleep", "1000"];
const FIRST = 100_000;
const COUNT = 65_536;
const MAPPING = [{ containerID: 0, hostID: FIRST, size: COUNT }];
/** The same as options of a mount. */
const SHIFT = [`uidmap=0:${FIRST}:${COUNT}`, `gidmap=0:${FIRST}:${COUNT}`];

/** @param path of a user namespace to join */
const mapped = (path?: string) => (spec: Spec) => {
  spec.linux.namespaces.push({ type: "user", ...(path === undefined ? {} : { path }) });
  Object.assign(spec.linux, { uidMappings: MAPPING, gidMappings: MAPPING });
};

/** The streams belong to the container's root, as clients with user namespaces ask for it. */
function owned(scene: Scene) {
  const fields = { ioUid: FIRST, ioGid: FIRST, systemdCgroup: scene.driver.options !== undefined };
  const value = containerd.runc.v1.Options.encode(fields).finish();
  return { options: { type_url: "containerd.runc.v1.Options", value } };
}

function ownerOf(pid: number | undefined): string {
  const { uid, gid } = statSync(`/proc/${pid}`);
  return `${uid}:${gid}`;
}

/** What a script prints, both outputs in one. */
async function printed(scene: Scene, c: Container, request: object = {}): Promise<void> {
  await c.create({ ...scene.file("out"), ...request });
  await c.start();
  await c.wait();
  await c.delete();
  scene.note("output", await scene.text(scene.path("out")));
}

/** The same for what not every stock shim can do: nothing else is recorded. */
async function printedIfPossible(scene: Scene, c: Container, request: object): Promise<void> {
  scene.forgetEvents();
  const { task } = c.shim;
  const { id, bundle } = c;
  try {
    await task.Create({ id, bundle, ...scene.file("out"), ...request });
  } catch {
    scene.note("output", "refused");
    return;
  }
  await task.Start({ id });
  await task.Wait({ id });
  await task.Delete({ id });
  scene.note("output", await scene.text(scene.path("out")));
}

export const namespaceRows = [
  row("user namespace: from create to delete", async (scene) => {
    const script = "tr -s ' ' </proc/self/uid_map; id -u; exit 7";
    const c = await scene.container(["sh", "-c", script], { spec: mapped() });
    await c.create({ ...scene.file("out"), ...owned(scene) });
    await c.state();
    await c.start();
    await c.wait();
    await c.state("", { as: "stopped" });
    await c.delete();
    scene.note("output", await scene.text(scene.path("out")));
  }),
  row("user namespace: owner of init and of an exec", async (scene) => {
    const c = await scene.container(SLEEP, { spec: mapped() });
    const made = await c.create(owned(scene));
    await c.start();
    scene.note("init", ownerOf(made?.pid));
    const user = { uid: 12, gid: 34 };
    await c.exec("e", { args: SLEEP, env: ["PATH=/bin"], cwd: "/", user });
    const exec = await c.start("e");
    scene.note("exec", ownerOf(exec?.pid));
    await c.exec("f", { args: SLEEP, env: ["PATH=/bin"], cwd: "/", user: { uid: COUNT + 1, gid: 0 } });
    await c.start("f");
    await c.pids();
  }),
  row("user namespace: every control call", async (scene) => {
    const c = await scene.running(SLEEP, { spec: mapped() });
    await c.pause();
    await c.state();
    await c.resume();
    await c.update('{"pids":{"limit":60}}');
    await c.stats();
    await c.pids();
    await c.kill(15);
    await c.kill(9);
    await c.wait();
  }),
  row("user namespace: its root opens its streams again", async (scene) => {
    const script =
      "stat -L -c %u:%g /proc/self/fd/1; echo again >/proc/self/fd/1; : >/proc/self/fd/2 && echo both";
    const c = await scene.container(["sh", "-c", script], { spec: mapped() });
    await printed(scene, c, owned(scene));
  }),
  row("user namespace: streams that belong to the host's root", async (scene) => {
    const script = "stat -L -c %u:%g /proc/self/fd/1; (: >/proc/self/fd/1) 2>/dev/null || echo refused";
    const c = await scene.container(["sh", "-c", script], { spec: mapped() });
    await printed(scene, c);
  }),
  row("user namespace: terminal, and an exec with one", async (scene) => {
    const spec = (each: Spec) => {
      mapped()(each);
      each.process.terminal = true;
    };
    const c = await scene.container(["sh", "-c", "stat -L -c %u /dev/console; tty; read x; exit 3"], {
      spec,
    });
    const [stdin, stdout] = [scene.fifo("in"), scene.fifo("out")];
    const text = scene.collect(stdout);
    await c.create({ terminal: true, stdin, stdout, ...owned(scene) });
    await c.start();
    await c.resize(90, 30);
    const out = scene.fifo("exec");
    const told = scene.collect(out);
    await c.exec("e", ["sh", "-c", "stty size; id -u"], { terminal: true, stdout: out });
    await c.start("e");
    await c.wait("e");
    scene.note("exec's output", (await told).replaceAll("\r", ""));
    writeFileSync(stdin, "\n");
    await c.wait();
    scene.note("output", (await text).replaceAll("\r", "").trim());
  }),
  row("user namespace: of another container, as in a pod", async (scene) => {
    const first = await scene.container(SLEEP, { spec: mapped() });
    const made = await first.create();
    await first.start();
    const c = await scene.running(SLEEP, { spec: mapped(`/proc/${made?.pid}/ns/user`) });
    await c.exec("e", ["true"]);
    await c.start("e");
    await c.wait("e");
    await c.kill(9);
    await c.wait();
    await c.delete();
    await first.state("", { as: "the other container" });
  }),
  row("user namespace: program that is missing", async (scene) => {
    const c = await scene.container(["/no/such"], { spec: mapped() });
    await c.create(owned(scene), { says: /no such file/ });
    await c.delete();
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row("user namespace: without mappings", async (scene) => {
    const spec = (each: Spec) => {
      each.linux.namespaces.push({ type: "user" });
    };
    const c = await scene.container(SLEEP, { spec });
    await c.create();
    await c.delete();
  }),
  row("user namespace: delete without a server", async (scene) => {
    const c = await scene.running(SLEEP, { spec: mapped() });
    await scene.killShim(c);
    const { status } = await scene.run(c, "delete");
    scene.note("status", status);
    scene.note("mounts", scene.mounts(c.bundle));
  }),
  row(
    "idmapped: root file system by its mount's options",
    async (scene) => {
      const file = `/tmp/${scene.candidate.name}`;
      const script = `stat -c %u:%g /bin/busybox; touch ${file} 2>/dev/null && rm ${file} && echo its own; true`;
      const c = await scene.container(["sh", "-c", script], { spec: mapped() });
      const [mount] = c.rootfs;
      await printed(scene, c, {
        rootfs: [{ ...mount, options: ["rbind", "rw", ...SHIFT] }],
        ...owned(scene),
      });
    },
    [
      {
        label: "output",
        stock: /^65534:65534\n/,
        ours: /^0:0\n/,
        generations: /^1\./,
        reason: "the stock shims of 1.6 and 1.7 do not shift owners",
      },
    ],
  ),
  row(
    "idmapped: overlay whose layers are shifted",
    async (scene) => {
      const [upper, work] = [scene.path("upper"), scene.path("work")];
      for (const folder of [upper, work]) {
        mkdirSync(folder);
        chownSync(folder, FIRST, FIRST);
      }
      const script = "stat -c %u:%g /bin/busybox; echo new >/made; stat -c %u:%g /made";
      const c = await scene.container(["sh", "-c", script], { spec: mapped() });
      const layers = [`lowerdir=${scene.rootfs}`, `upperdir=${upper}`, `workdir=${work}`, ...SHIFT];
      const rootfs = [{ type: "overlay", source: "overlay", options: layers }];
      await printedIfPossible(scene, c, { rootfs, ...owned(scene) });
    },
    [
      {
        label: "output",
        stock: /^refused$/,
        ours: /^0:0\n0:0\n$/,
        generations: /^1\./,
        reason: "the stock shims of 1.6 and 1.7 do not shift owners",
      },
    ],
  ),
  row("idmapped: a volume by runC", async (scene) => {
    const data = scene.path("data");
    mkdirSync(data);
    writeFileSync(`${data}/file`, "");
    const spec = (each: Spec) => {
      mapped()(each);
      const shifted = { uidMappings: MAPPING, gidMappings: MAPPING };
      const volume = { destination: "/tmp", type: "bind", source: data, options: ["bind"] };
      each.mounts.push(Object.assign(volume, shifted));
    };
    const c = await scene.container(["stat", "-c", "%u:%g", "/tmp/file"], { spec });
    await printed(scene, c, owned(scene));
  }),
];
