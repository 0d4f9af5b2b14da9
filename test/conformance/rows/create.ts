/** Create, and everything that can be wrong with it. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import type { Container } from "../container.js";
import { type Difference, row } from "../row.js";
import type { Scene } from "../scene.js";

const SLEEP = ["sleep", "1000"];
const { Options } = containerd.runc.v1;

function options(fields: containerd.runc.v1.Options.$Properties, type_url = "containerd.runc.v1.Options") {
  return { type_url, value: Options.encode(fields).finish() };
}

/** After a Create that failed: what containerd asks next, and that nothing is mounted. */
async function afterFailure(scene: Scene, container: Container): Promise<void> {
  await container.state();
  scene.note("mounts", scene.mounts(container.bundle));
  await container.delete();
  await container.wait();
  await container.call("Connect", { id: container.id });
}

/** A row with one Create that fails. */
function failing(
  name: string,
  args: readonly string[],
  request: (scene: Scene, container: Container) => Parameters<Container["create"]>[0],
  says?: RegExp,
) {
  return row(`create: ${name}`, async (scene) => {
    const container = await scene.container(args);
    await container.create(request(scene, container), says ? { says } : {});
    await afterFailure(scene, container);
  });
}

function refusedBefore17(reason: string): Difference[] {
  const where = { generations: /^1\.6$/, reason };
  return [
    { label: "c1 Create", stock: /^UNKNOWN$/, ours: /^pid=c1$/, ...where },
    { label: "c1 State", stock: /^NOT_FOUND$/, ours: /status=1$/, ...where },
  ];
}

export const createRows = [
  row(
    "create: created, and what is in the bundle then",
    async (scene) => {
      const container = await scene.container(SLEEP);
      scene.note("bundle before", scene.files(container));
      const made = await container.create({ options: options({}) });
      await container.state();
      scene.note("bundle after", scene.files(container));
      scene.note("mounted", scene.mounts(container.bundle));
      const pid = readFileSync(join(container.bundle, "init.pid"), "utf8");
      scene.note("init.pid is the pid", Number(pid) === made?.pid);
      await container.delete();
      scene.note("bundle at the end", scene.files(container));
      await scene.noteTopics(3);
    },
    [
      {
        label: "bundle at the end",
        stock: /config\.json, init\.pid/,
        ours: /config\.json, deleted, init\.pid/,
        reason:
          "the answer for the action delete, which then need not start Node; containerd removes the bundle",
      },
    ],
  ),
  row(
    "create: twice",
    async (scene) => {
      const container = await scene.running();
      await container.create({}, { as: "again" });
      await container.state();
      await container.exec("e", ["true"]);
      await container.start("e");
      await container.wait("e");
    },
    [
      {
        label: "again",
        stock: /^(UNKNOWN|ALREADY_EXISTS)/,
        ours: /^ALREADY_EXISTS$/,
        reason: "the stock shim mounts first and then unmounts the running container's root file system",
      },
    ],
  ),
  failing("bundle that is missing", SLEEP, (scene) => ({ bundle: scene.path("nowhere") }), /no such file/),
  row("create: config.json gone after start", async (scene) => {
    const container = await scene.container(SLEEP);
    rmSync(join(container.bundle, "config.json"));
    await container.create({}, { says: /config\.json/ });
    await afterFailure(scene, container);
  }),
  row("create: config.json no JSON after start", async (scene) => {
    const container = await scene.container(SLEEP);
    writeFileSync(join(container.bundle, "config.json"), "{ this is not");
    await container.create();
    await afterFailure(scene, container);
  }),
  row("create: config.json with 3 MB of annotations", async (scene) => {
    const spec = { annotations: { big: "x".repeat(3 << 20) } };
    const container = await scene.running(SLEEP, { spec: (each) => Object.assign(each, spec) });
    await container.state();
  }),
  failing(
    "mount of an unknown type",
    SLEEP,
    (scene) => ({
      rootfs: [{ type: "nosuchfs", source: scene.rootfs, options: [] }],
    }),
    /failed to mount/,
  ),
  failing(
    "mount of a missing source",
    SLEEP,
    (scene) => ({
      rootfs: [{ type: "bind", source: scene.path("none"), options: ["rbind", "rw"] }],
    }),
    /no such file/,
  ),
  failing(
    "mount with an option that the kernel refuses",
    SLEEP,
    () => ({
      rootfs: [{ type: "tmpfs", source: "tmpfs", options: ["size=lots"] }],
    }),
    /invalid argument/i,
  ),
  failing(
    "second of two mounts fails",
    SLEEP,
    (scene, { rootfs }) => ({
      rootfs: [...rootfs, { type: "bind", source: scene.path("none"), options: ["rbind"] }],
    }),
    /no such file/,
  ),
  row("create: overlay as root file system", async (scene) => {
    const [upper, work] = [scene.path("upper"), scene.path("work")];
    for (const folder of [upper, work]) mkdirSync(folder);
    const container = await scene.container(["touch", "/made"]);
    const layers = [`lowerdir=${scene.rootfs}`, `upperdir=${upper}`, `workdir=${work}`];
    await container.create({ rootfs: [{ type: "overlay", source: "overlay", options: layers }] });
    await container.start();
    await container.wait();
    scene.note("written", existsSync(join(upper, "made")));
  }),
  row("create: read-only root file system by its mount", async (scene) => {
    const container = await scene.container(["touch", "/made"]);
    const [mount] = container.rootfs;
    await container.create({ rootfs: [{ ...mount, options: ["rbind", "ro"] }] });
    await container.start();
    await container.wait();
  }),
  failing("no root file system", SLEEP, () => ({ rootfs: [] })),
  failing("program that is missing", ["/no/such"], () => ({}), /no such file/),
  failing("program without permission to run", ["/etc"], () => ({}), /permission denied/i),
  failing("no arguments at all", [], () => ({})),
  row("create: working directory that cannot be made", async (scene) => {
    const spec = (each: { process: { cwd: string } }) => {
      each.process.cwd = "relative";
    };
    const container = await scene.container(SLEEP, { spec });
    await container.create();
    await afterFailure(scene, container);
  }),
  row("create: a hook fails", async (scene) => {
    const hooks = { createRuntime: [{ path: "/bin/false", args: ["false"] }] };
    const container = await scene.container(SLEEP, { spec: (each) => Object.assign(each, { hooks }) });
    await container.create();
    await afterFailure(scene, container);
  }),
  failing(
    "runC that is missing",
    SLEEP,
    () => ({ options: options({ binaryName: "no-such-runc" }) }),
    /no-such-runc/,
  ),
  failing("runC that fails without a word", SLEEP, () => ({
    options: options({ binaryName: "/bin/false" }),
  })),
  row(
    "create: options of a type that no shim knows",
    async (scene) => {
      const container = await scene.container(SLEEP);
      await container.create({ options: options({}, "example.com/options.Unheard") });
      await container.state();
      scene.forgetEvents();
    },
    refusedBefore17("options of another runtime are none of ours: so later stock shims"),
  ),
  row(
    "create: options that cannot be decoded",
    async (scene) => {
      const container = await scene.container(SLEEP);
      const value = Buffer.from("ffffffff", "hex");
      await container.create({ options: { type_url: "containerd.runc.v1.Options", value } });
      await afterFailure(scene, container);
    },
    [
      {
        label: "c1 Create",
        stock: /^FAILED_PRECONDITION$/,
        ours: /^UNKNOWN$/,
        generations: /^1\.6$/,
        reason: "the code of later stock shims",
      },
    ],
  ),
  row(
    "create: options with a full type url",
    async (scene) => {
      const container = await scene.container(SLEEP);
      await container.create({ options: options({}, "type.googleapis.com/containerd.runc.v1.Options") });
      await container.state();
      scene.forgetEvents();
    },
    refusedBefore17("what other encoders write is no reason to refuse: so later stock shims"),
  ),
  row("create: options of runC: root, no pivot, no keyring", async (scene) => {
    const container = await scene.container(SLEEP);
    const root = scene.path("runc-root");
    await container.create({ options: options({ root, noPivotRoot: true, noNewKeyring: true }) });
    await container.start();
    scene.note("state is there", existsSync(join(root, "conformance", container.id, "state.json")));
    scene.note("options.json", JSON.parse(readFileSync(join(container.bundle, "options.json"), "utf8")).root);
    const { stdout, status } = await scene.run(container, "delete");
    scene.note("delete", [status, stdout.length > 0]);
  }),
  failing("systemd's cgroups where there is no systemd", SLEEP, () => ({
    options: options({ systemdCgroup: true }),
  })),
  row("create: restore from a folder that is missing", async (scene) => {
    const container = await scene.container(SLEEP);
    await container.create({ checkpoint: scene.path("none") });
    await container.state();
    await container.start();
    await container.state();
    await container.delete();
  }),
  row("create: restore from an empty folder", async (scene) => {
    const container = await scene.container(SLEEP);
    mkdirSync(scene.path("empty"));
    await container.create({ checkpoint: scene.path("empty") });
    await container.start("", { says: /OCI runtime restore failed/ });
    await container.delete();
  }),
  row("create: again under the same id after a failure", async (scene) => {
    const container = await scene.container(SLEEP);
    await container.create({ options: options({ binaryName: "no-such-runc" }) });
    await container.create({}, { as: "second" });
    await container.start();
    await container.state();
  }),
  row("create: again under the same id after delete", async (scene) => {
    const container = await scene.running(["true"]);
    await container.wait();
    await container.delete();
    await container.create({}, { as: "second" });
    await container.start("", { as: "start second" });
    await container.wait("", { as: "wait second" });
  }),
];
