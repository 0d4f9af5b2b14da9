import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Lab, LabError } from "../../lab/lab.js";

/** What a lab leaves on the machine, by its name: control groups, network namespaces, mounts. */
function leftovers(name: string): string[] {
  const found: string[] = [];
  for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
    const folder = join("/sys/fs/cgroup", hierarchy);
    for (const entry of [hierarchy, ...listing(folder)]) {
      if (entry.startsWith(`pclive-lab-${name}-`)) found.push(entry);
    }
  }
  const tool = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: "utf8" });
  if (tool("ip", "netns", "list").includes(`pclive-lab-${name}`)) found.push("network namespace");
  if (tool("cat", "/proc/self/mounts").includes(`/build/lab/${name}/`)) found.push("mount");
  return found;
}

function listing(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // a file
  }
}

describe("the lab", function () {
  this.timeout(120_000);
  const lab = new Lab("labtest");
  const pings = async (from: "a" | "b" | "c", address: string) =>
    (await lab.exec(from, ["ping", "-c", "1", "-W", "1", address], { allowFailure: true })).code === 0;

  before(async function () {
    this.timeout(1_800_000); // the first time on a machine, images are made
    await lab.up({ fresh: true });
  });
  after(() => lab.down());

  it("is up, with containerd on a and b but not on the client", async () => {
    const status = await lab.status();
    assert.equal(status.up, true);
    assert.deepEqual(
      (["a", "b", "c"] as const).map((host) => status.hosts[host]?.containerd),
      [true, true, false],
    );
    assert.equal(status.hosts.b?.address, "10.10.0.2");
  });

  it("gives each host its own name, processes, control groups", async () => {
    assert.equal((await lab.exec("b", ["hostname"])).stdout.trim(), "b");
    assert.match((await lab.exec("a", ["cat", "/proc/1/comm"])).stdout, /tini/);
    assert.doesNotMatch((await lab.exec("a", ["cat", "/proc/self/cgroup"])).stdout, /pclive-lab/);
  });

  it("runs a container whose address the client reaches, wherever it is", async () => {
    for (const host of ["a", "b"] as const) {
      const image = await lab.image(host, "redis");
      const netns = await lab.netns(host, "red", "10.10.1.1");
      const network = `network:${netns}`;
      await lab.exec(host, [
        "ctr",
        "run",
        "-d",
        "--runtime",
        "io.containerd.runc.v2",
        "--with-ns",
        network,
        image,
        "red",
      ]);
      const answer = await lab.exec("c", [
        "sh",
        "-c",
        "for i in 1 2 3 4 5 6 7 8 9; do redis-cli -h 10.10.1.1 ping && exit; sleep 0.3; done",
      ]);
      assert.match(answer.stdout, /PONG/);
      await lab.exec(host, [
        "sh",
        "-c",
        "ctr task kill -s KILL red; sleep 0.5; ctr task rm red; ctr container rm red; ip netns del red",
      ]);
    }
  });

  it("cuts and heals the link, also one way, and leaves the client alone", async () => {
    assert.equal(await pings("a", "10.10.0.2"), true);
    await lab.cut();
    assert.deepEqual([await pings("a", "10.10.0.2"), await pings("c", "10.10.0.2")], [false, true]);
    await lab.heal();
    assert.equal(await pings("a", "10.10.0.2"), true);
    await lab.cut("a", "b");
    const seen = await countArrivals();
    await lab.heal();
    assert.deepEqual(seen, { fromA: 0, fromB: 1 });
  });

  /** Sends a datagram each way and counts what arrives. */
  async function countArrivals(): Promise<{ fromA: number; fromB: number }> {
    const listener =
      'const s=require("dgram").createSocket("udp4");let n=0;s.on("message",()=>n++);s.bind(9);setTimeout(()=>{console.log(n);process.exit()},1500)';
    const hear = (host: "a" | "b") => lab.exec(host, ["node", "-e", listener]);
    const both = Promise.all([hear("b"), hear("a")]);
    await new Promise((resolve) => setTimeout(resolve, 700));
    await lab.exec("a", ["bash", "-c", "echo x >/dev/udp/10.10.0.2/9"]);
    await lab.exec("b", ["bash", "-c", "echo x >/dev/udp/10.10.0.1/9"]);
    const [atB, atA] = await both;
    return { fromA: Number(atB.stdout), fromB: Number(atA.stdout) };
  }

  it("shapes the link", async () => {
    await lab.shape(1000);
    assert.match((await lab.exec("a", ["tc", "qdisc", "show", "dev", "eth0"])).stdout, /tbf.*1Gbit/);
    await lab.shape("off");
    assert.doesNotMatch((await lab.exec("a", ["tc", "qdisc", "show", "dev", "eth0"])).stdout, /tbf/);
  });

  it("kills and starts a daemon", async () => {
    await lab.kill("b", "containerd");
    assert.equal((await lab.status()).hosts.b?.containerd, false);
    await lab.start("b", "containerd");
    assert.equal((await lab.status()).hosts.b?.containerd, true);
  });

  it("ends a command that takes too long, and says so", async () => {
    const hang = lab.exec("a", ["sleep", "77"], { timeoutMs: 500 });
    await assert.rejects(hang, (error) => error instanceof LabError && error.code === "TIMEOUT");
    assert.equal((await lab.exec("a", ["pgrep", "-f", "^sleep 77"], { allowFailure: true })).code, 1);
  });

  it("passes signals on to a command that it started", async () => {
    const loop = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.1; done";
    const child = lab.spawn("c", ["sh", "-c", loop]);
    const exited = new Promise((resolve) => child.once("close", resolve));
    await new Promise((resolve) => child.stdout?.once("data", resolve));
    assert.equal(lab.signal(child, "SIGTERM"), true);
    assert.equal(await exited, 7);
    assert.equal(lab.signal(child, "SIGTERM"), false);
  });

  it("kills by the command line, and only what matches", async () => {
    const child = lab.spawn("c", ["sleep", "7123"]);
    const exited = new Promise((resolve) => child.once("close", resolve));
    await lab.exec("c", ["sh", "-c", "until pgrep -f '^sleep 7123'; do sleep 0.05; done"]);
    assert.equal(await lab.killMatching("c", "sleep 712[3]"), true);
    await exited;
    assert.equal(await lab.killMatching("c", "sleep 712[3]"), false);
  });

  it("reaps what is left to process 1", async () => {
    await lab.exec("c", ["sh", "-c", "setsid --fork sleep 0.1"]);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.doesNotMatch((await lab.exec("c", ["ps", "-eo", "stat="])).stdout, /Z/);
  });

  it("refuses what it does not know", async () => {
    await assert.rejects(lab.exec("f", ["true"]), /no host f/);
    await assert.rejects(lab.shape(0), /not a rate/);
    await assert.rejects(lab.image("a", "nothing"), /no image nothing/);
    await assert.rejects(lab.netns("a", "x", "10.20.0.1"), /not in 10\.10/);
  });

  it("leaves nothing behind, even with a frozen container, but its logs", async () => {
    await lab.exec("a", [
      "ctr",
      "run",
      "-d",
      "--runtime",
      "io.containerd.runc.v2",
      "pclive.test/base:latest",
      "still",
    ]);
    await lab.exec("a", ["ctr", "task", "pause", "still"]);
    await lab.down();
    assert.deepEqual(leftovers("labtest"), []);
    assert.equal(existsSync(join(lab.logs("a"), "containerd.log")), true);
  });
});
