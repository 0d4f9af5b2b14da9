/**
 * Restores by the engine, of images that stock runC and CRIU wrote: every byte of a program that knows its memory, and
 * what happens when the image is damaged.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  closeSync,
  cpSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import { TtrpcError } from "#ttrpc";
import { dropToParent } from "../../lib/pagemap.js";
import { ShimBench, type Spec, type Task, until } from "./bundle.js";

const { CheckpointOptions } = containerd.runc.v1;
const PORT = 17_700;
const CHURN = ["/bin/churn", "--memory", "96", "--threads", "2", "--rate", "500", "--no-fork"];
/** Much that is on its way while the program moves and discards it. */
const BUSY = ["/bin/churn", "--memory", "2048", "--threads", "8", "--rate", "8000", "--no-fork"];
const BUSY_BYTES = 200 << 20;

interface Running {
  readonly id: string;
  readonly bundle: string;
  readonly task: Task;
}

describe("restore of an image by the engine", function () {
  this.timeout(120_000);
  const bench = new ShimBench();
  let images: string;
  let count = 0;

  before(async () => {
    await bench.open();
    cpSync("build/programs/churn/churn", join(bench.folder, "rootfs/bin/churn"));
    images = join(bench.folder, "images");
    await take(images);
  });
  after(() => bench.close());

  /** In the host's network, where the test can reach it. */
  function inHostNetwork(spec: Spec): void {
    spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "network");
  }

  async function create(checkpoint = "", program = CHURN): Promise<Running> {
    const { id, bundle } = bench.makeBundle([...program, "--port", String(PORT)], inHostNetwork);
    const { task } = await bench.start(id, bundle);
    const stdout = `file://${join(bundle, "out.txt")}`;
    await task.Create({ id, bundle, rootfs: bench.rootfs(), stdout, checkpoint });
    return { id, bundle, task };
  }

  async function remove({ id, bundle, task }: Running, runs: boolean): Promise<void> {
    if (runs) {
      await task.Kill({ id, signal: 9 });
      await task.Wait({ id });
    }
    await task.Delete({ id });
    await task.Shutdown({ id });
    assertNothingLeft(bundle, id);
  }

  function assertNothingLeft(bundle: string, id: string): void {
    assert.ok(!readFileSync("/proc/self/mountinfo", "utf8").includes(bundle), "mounts are left");
    assert.deepEqual(existsSync("/run/pclive/r") ? readdirSync("/run/pclive/r") : [], []);
    assert.ok(!engineRuns(), "an engine is left");
    assert.ok(!new RegExp(`runc.*restore.*${id}`).test(processes()), "a runC is left");
  }

  function engineRuns(): boolean {
    return /pclive-engine restore/.test(processes());
  }

  /** @param bytes of the program's memory at the least */
  async function take(path: string, program = CHURN, bytes = 0): Promise<void> {
    const container = await create("", program);
    const { pid } = await container.task.Start({ id: container.id });
    await until(async () => (await verify()).startsWith("OK"), 20_000);
    await until(() => residentBytes(pid) >= bytes, 30_000);
    await checkpointOf(container, path);
  }

  /** With exit; nothing of the container is left. */
  async function checkpointOf(container: Running, path: string): Promise<void> {
    const { id, task } = container;
    mkdirSync(path);
    const value = CheckpointOptions.encode({ exit: true }).finish();
    await task.Checkpoint({ id, path, options: { type_url: "containerd.runc.v1.CheckpointOptions", value } });
    await task.Wait({ id });
    await remove(container, false);
  }

  /** "OK …" when every byte is as the program remembers it; empty when it does not answer. */
  function verify(): Promise<string> {
    return new Promise((resolve) => {
      let text = "";
      const socket = createConnection({ port: PORT, host: "127.0.0.1" });
      socket.setTimeout(10_000, () => socket.destroy());
      socket.on("connect", () => socket.write("VERIFY\n"));
      socket.on("data", (data) => {
        text += data.toString();
        if (text.includes("\n")) socket.destroy();
      });
      socket.on("error", () => undefined);
      socket.on("close", () => resolve(text));
    });
  }

  async function restored(path: string): Promise<Running> {
    const container = await create(path);
    await container.task.Start({ id: container.id });
    return container;
  }

  function copyOfImages(): string {
    const copy = join(bench.folder, `copy${++count}`);
    cpSync(images, copy, { recursive: true, verbatimSymlinks: true });
    return copy;
  }

  it("brings back every byte, and the program goes on", async () => {
    const container = await restored(images);
    assert.match(await verify(), /^OK /);
    await new Promise((done) => setTimeout(done, 500));
    assert.match(await verify(), /^OK /);
    // The engine placed it: the restore log shows CRIU's staging, and its own pages are the smaller part.
    const log = readFileSync(join(container.bundle, "work/restore.log"), "utf8");
    assert.match(log, /pclive: Go with [1-9]\d* areas/);
    await remove(container, true);
  });

  describe("of much memory, which comes while the program runs", () => {
    let busy: string;
    before(async () => {
      busy = join(bench.folder, "busy-images");
      await take(busy, BUSY, BUSY_BYTES);
    });

    it("brings back every byte to a program that moves and discards it meanwhile", async () => {
      for (let i = 0; i < 3; i++) {
        const container = await restored(busy);
        assert.match(await verify(), /^OK /);
        await new Promise((done) => setTimeout(done, 500));
        assert.match(await verify(), /^OK /);
        await remove(container, true);
      }
    });

    it("lets a checkpoint wait for it, which is complete then", async () => {
      const again = join(bench.folder, "again-images");
      await checkpointOf(await restored(busy), again);
      const container = await restored(again);
      assert.match(await verify(), /^OK /);
      await remove(container, true);
    });

    it("is given up with a container that is killed and deleted", async () => {
      await remove(await restored(busy), true);
    });

    it("ends the container when the engine is killed: no page is ever empty", async () => {
      const container = await restored(busy);
      // Not by its words: its keeper has the same.
      const engine = Number(execFileSync("pgrep", ["-x", "pclive-engine"], { encoding: "utf8" }));
      process.kill(engine, "SIGKILL");
      const { exitStatus } = await container.task.Wait({ id: container.id });
      assert.equal(exitStatus, 137);
      await remove(container, false);
    });

    it("does not begin when a bit of the pages is flipped", async () => {
      const copy = join(bench.folder, "flipped-images");
      cpSync(busy, copy, { recursive: true });
      flip(join(copy, "pages-1.img"));
      const container = await create(copy);
      await assert.rejects(
        container.task.Start({ id: container.id }),
        (error: unknown) => error instanceof TtrpcError && error.message.includes("pages-1.img"),
      );
      await remove(container, false);
    });
  });

  it("is forgotten with a container that is deleted instead of started", async () => {
    const container = await create(images);
    await until(engineRuns, 5_000);
    await remove(container, false);
  });

  it("begins anew when the start comes long after the creation", async () => {
    const container = await create(images);
    await until(engineRuns, 5_000);
    await until(() => !engineRuns(), 15_000);
    await container.task.Start({ id: container.id });
    assert.match(await verify(), /^OK /);
    await remove(container, true);
  });

  it("reads what is in the parents of an image", async () => {
    const parent = join(bench.folder, "parent-images");
    const child = join(bench.folder, "child-images");
    cpSync(images, parent, { recursive: true });
    cpSync(images, child, { recursive: true });
    dropToParent(child, 1);
    // Its check sums are not of what we have made of it.
    rmSync(join(child, "pclive.json"), { force: true });
    symlinkSync("../parent-images", join(child, "parent"));
    const container = await restored(child);
    assert.match(await verify(), /^OK /);
    await remove(container, true);
  });

  it("is left to runC alone when there is no engine for it, with the same result", async () => {
    const copy = copyOfImages();
    // Old images say that their inventory is of format 1; CRIU itself then finds another magic and refuses.
    const inventory = readFileSync(join(copy, "inventory.img"));
    inventory[9] = 1;
    writeFileSync(join(copy, "inventory.img"), inventory);
    const container = await create(copy);
    await assert.rejects(
      container.task.Start({ id: container.id }),
      (error: unknown) =>
        error instanceof TtrpcError && /OCI runtime restore failed: criu failed/.test(error.message),
    );
    await remove(container, false);
  });

  it("says which file is cut off, and leaves nothing", async () => {
    for (const name of [
      "pages-1.img",
      "pagemap-1.img",
      "mm-1.img",
      "pstree.img",
      "inventory.img",
      "core-1.img",
    ]) {
      const copy = copyOfImages();
      truncate(join(copy, name));
      const container = await create(copy);
      await assert.rejects(
        container.task.Start({ id: container.id }),
        (error: unknown) => error instanceof TtrpcError && error.message.includes(name),
        name,
      );
      await remove(container, false);
    }
  });

  it("ends with an error or a restore when a bit of a file is flipped, and leaves nothing", async () => {
    const kinds = ["core-1", "files", "fs-1", "mm-1", "pagemap-1", "pstree", "inventory"];
    for (const name of kinds.map((kind) => `${kind}.img`)) {
      const copy = copyOfImages();
      flip(join(copy, name));
      const container = await create(copy);
      const runs = await container.task.Start({ id: container.id }).then(
        () => true,
        (error: unknown) => {
          assert.ok(error instanceof TtrpcError, `${name}: ${String(error)}`);
          return false;
        },
      );
      await remove(container, runs);
    }
  });
});

function processes(): string {
  return execFileSync("ps", ["-eo", "args"], { encoding: "utf8" });
}

function residentBytes(pid: number): number {
  const [, pages] = readFileSync(`/proc/${pid}/statm`, "utf8").split(" ");
  return Number(pages) * 4096;
}

function truncate(path: string): void {
  const fd = openSync(path, "r+");
  ftruncateSync(fd, Math.max(0, statSync(path).size - 5));
  closeSync(fd);
}

function flip(path: string): void {
  const fd = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  const at = Math.floor(statSync(path).size / 2);
  readSync(fd, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}
