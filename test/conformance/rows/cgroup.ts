/** Where the shim itself is put: the cgroup that the options name for it, and how likely the kernel kills it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd, google } from "#protos/shim";
import { until } from "../../lib/until.js";
import type { Spec } from "../bundle.js";
import type { Container } from "../container.js";
import { betterRow, row } from "../row.js";
import type { Scene } from "../scene.js";
import { runAction } from "../shim.js";

const SLEEP = ["sleep", "1000"];
const ROOT = "/sys/fs/cgroup";

/** A cgroup by that name in every hierarchy: ROOT itself (version 2), or what is mounted in its folders. */
function folders(name: string): string[] {
  if (existsSync(join(ROOT, "cgroup.procs"))) return [join(ROOT, name)];
  const hierarchies = readdirSync(ROOT).filter((each) => existsSync(join(ROOT, each, "cgroup.procs")));
  return hierarchies.map((hierarchy) => join(ROOT, hierarchy, name));
}

/** A shim that was started with the options that name its cgroup; c is undefined when it did not start. */
async function inCgroup(scene: Scene, name: string): Promise<Container | undefined> {
  const options = containerd.runc.v1.Options.encode({ shimCgroup: `/${name}` }).finish();
  const input = google.protobuf.Any.encode({
    type_url: "containerd.runc.v1.Options",
    value: options,
  }).finish();
  const bundled = scene.bundle(SLEEP);
  const { status } = await scene.run(bundled, "start", [], input);
  scene.note("start", status);
  return status === 0 ? scene.connect(bundled) : undefined;
}

/** The controllers (none in version 2) by which a process is accounted in that cgroup. */
function membership(pid: number, name: string): string[] {
  const lines = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const [own, others] = [lines.filter((line) => line.endsWith(`:/${name}`)), lines.length];
  return [...own.map((line) => line.split(":")[1] || "unified").sort(), `of ${others}`];
}

function oomScore(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
}

/** `start` by a containerd that has this score. */
async function startWithScore(scene: Scene, score: number): Promise<Container> {
  const bundled = scene.bundle(SLEEP);
  const binary = scene.path("containerd");
  const { candidate, folder } = scene;
  writeFileSync(binary, `#!/bin/sh\necho ${score} >/proc/self/oom_score_adj\n${candidate.binary} "$@"\n`, {
    mode: 0o755,
  });
  await runAction({ ...candidate, binary }, { ...bundled, namespace: "conformance", folder }, "start");
  return scene.connect(bundled);
}

/** Lets the shim go, and takes its cgroups away. */
async function leave({ id, shim }: Container, paths: readonly string[]): Promise<void> {
  // The stock shim's answer may be lost in its exit.
  await shim.task.Shutdown({ id }).catch(() => {});
  const remove = () => {
    for (const path of paths.filter((each) => existsSync(each))) rmdirSync(path);
    return true;
  };
  // A process that has ended is in its cgroup until it is reaped.
  await until(() => {
    try {
      return remove();
    } catch {
      return false;
    }
  });
}

export const cgroupRows = [
  row("cgroup: of the shim, by the options", async (scene) => {
    const name = `shims-${scene.candidate.name}`;
    const paths = folders(name);
    for (const path of paths) mkdirSync(path, { recursive: true });
    const c = await inCgroup(scene, name);
    if (c === undefined) return;
    scene.note("shim", membership(scene.shimPid(c), name));
    const made = await c.create();
    await c.start();
    scene.note("container", membership(made?.pid ?? 0, name));
    await c.kill(9);
    await c.wait();
    await c.delete();
    await leave(c, paths);
  }),
  betterRow(
    "cgroup: of the shim, one that is not there yet",
    async (scene) => {
      const name = `new-${scene.candidate.name}`;
      const c = await inCgroup(scene, name);
      if (c === undefined) return;
      scene.note("shim", membership(scene.shimPid(c), name));
      await leave(c, folders(name));
    },
    {
      stock: { start: /^1$/ },
      ours: { start: /^0$/, shim: /^\[.*, of \d+\]$/, "left behind": /^$/ },
      reason: "what the operator named is made, as it is for containers",
    },
  ),
  ...[0, 500, 1000].map((score) =>
    row(`oom score: of the shim, when containerd has ${score}`, async (scene) => {
      const c = await startWithScore(scene, score);
      scene.note("shim", oomScore(scene.shimPid(c)));
      await c.create();
    }),
  ),
  row("oom score: of a container and its exec", async (scene) => {
    const spec = (each: Spec) => {
      each.process.oomScoreAdj = 321;
    };
    const c = await scene.container(SLEEP, { spec });
    const made = await c.create();
    await c.start();
    scene.note("container", oomScore(made?.pid ?? 0));
    await c.exec("e", SLEEP);
    const exec = await c.start("e");
    scene.note("exec", oomScore(exec?.pid ?? 0));
  }),
  row("oom score: of a container that says nothing", async (scene) => {
    const c = await scene.container(SLEEP);
    const made = await c.create();
    scene.note("container", oomScore(made?.pid ?? 0));
  }),
];
