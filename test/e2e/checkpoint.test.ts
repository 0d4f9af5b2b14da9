/**
 * Checkpoints of containers that run: what they hold is restored by stock runC and CRIU and by us, bit by bit; and whatever goes
 * wrong, the container runs on and nothing of an image is left.
 */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import type { Lab } from "../lab/lab.js";
import { checkpoint, checkpointCommand, checkpointFails, endTask, StockBundle } from "../lib/checkpoint.js";
import { ChurnContainer } from "../lib/churn.js";
import { Load } from "../lib/load.js";
import { RedisContainer } from "../lib/redis.js";
import { assertRuns, freshAddress, leftovers, theLab } from "./setup.js";

const IMAGES = "/tmp/checkpoints";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe("checkpoint", function () {
  this.timeout(120_000);
  let lab: Lab;
  before(async () => {
    lab = await theLab();
    await lab.exec("a", ["mkdir", "-p", IMAGES]);
  });
  after(() => lab.exec("a", ["rm", "-rf", IMAGES]));
  const list = async (folder: string) =>
    (await lab.exec("a", ["ls", "-A", folder])).stdout.trim().split("\n");

  describe("of a program that knows every byte of its memory", () => {
    const id = "e2e-image";
    let churn: ChurnContainer;
    before(async () => {
      const options = { id, address: freshAddress(), memoryMb: 96, threads: 4, rate: 400 };
      churn = await ChurnContainer.start(lab, "a", options);
    });
    after(() => churn?.remove("a"));

    it("stock runC and CRIU restore it without a wrong byte", async () => {
      const before = await churn.verify();
      const report = await checkpoint(lab, "a", id, `${IMAGES}/churn`);
      assert.equal(report.mode, "live", report.reason ?? "");
      assert.ok((report.frozenMs ?? 0) > 0 && (report.rounds ?? 0) > 0);
      await assertRuns(lab, "a", id);
      assert.ok((await churn.verify()) > before, "it does not go on after the checkpoint");
      const bundle = await StockBundle.of(lab, "a", id);
      await endTask(lab, "a", id);
      try {
        await bundle.restore(`${IMAGES}/churn`);
        const restored = await churn.verify();
        assert.ok(restored >= before, `${restored} operations, ${before} before the checkpoint`);
      } finally {
        await bundle.remove();
      }
    });

    it("pclive restore does, too", async () => {
      await lab.exec("a", ["pclive", "restore", id, "--from", `${IMAGES}/churn`], { timeoutMs: 60_000 });
      await assertRuns(lab, "a", id);
      await churn.verify();
    });
  });

  describe("of a loaded Redis", () => {
    const id = "e2e-keep";
    let redis: RedisContainer;
    before(async () => {
      const options = { id, address: freshAddress(), memoryMb: 150, valueBytes: 4096 };
      redis = await RedisContainer.start(lab, "a", options);
      await redis.populate();
    });
    after(() => redis?.remove("a"));
    afterEach(async () => {
      await lab.killMatching("a", "pclive-engine checkpoint", "CONT");
    });

    /** The container runs, and nothing of a checkpoint is there but what `images` names. */
    async function unharmed(images: readonly string[]): Promise<void> {
      await assertRuns(lab, "a", id);
      await redis.verify();
      const begun = Date.now();
      const ours = (line: string) => !/^(e2e-keep|v|lo\b)|netns|containerd/.test(line);
      const scratch = async () =>
        (await leftovers(lab, "a")).filter(
          (line) => ours(line) && /pclive|criu|runc|^[0-9a-f]{32}$/.test(line),
        );
      while ((await scratch()).length > 0 && Date.now() - begun < 15_000) await sleep(250);
      assert.deepEqual(await scratch(), []);
      assert.deepEqual(
        (await list(IMAGES)).filter((name) => name.includes("keep")),
        images,
      );
    }

    /** Starts a checkpoint whose engine is stopped as soon as it is there. */
    async function stopped(to: string): Promise<{ child: ChildProcess; ended: Promise<number> }> {
      const child = lab.spawn("a", checkpointCommand(id, to));
      const ended = new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1)));
      for (let i = 0; i < 200; i++) {
        if (await lab.killMatching("a", "pclive-engine checkpoint", "STOP")) return { child, ended };
        await sleep(20);
      }
      throw new Error("no engine came up");
    }

    it("its clients lose nothing", async () => {
      const load = Load.start(lab, redis, { rate: 1000, reads: 0.5, connections: 4 });
      await sleep(500);
      await checkpoint(lab, "a", id, `${IMAGES}/keep1`);
      await sleep(500);
      const report = await load.stop(lab);
      const { lost, wrong, errors, broken_connections: broken } = report;
      assert.deepEqual({ lost, wrong, errors, broken }, { lost: 0, wrong: 0, errors: 0, broken: 0 });
      await unharmed(["keep1"]);
    });

    it("a full disk: an error that says so", async () => {
      const full = `${IMAGES}/keep-full`;
      await lab.exec("a", ["sh", "-c", `mkdir -p ${full} && mount -t tmpfs -o size=8m none ${full}`]);
      try {
        const { code, stderr } = await checkpointFails(lab, "a", id, full);
        assert.equal(code, 1);
        assert.match(stderr, /No space left/);
        assert.match(stderr, /try: .*\n.*the container runs on.*\n {2}logs: \/var\/log\/pclive\//s);
        assert.deepEqual(await list(full), [""]);
      } finally {
        await lab.exec("a", ["sh", "-c", `umount ${full}; rmdir ${full}`]);
      }
      await unharmed(["keep1"]);
    });

    const victims = {
      "the engine": "pclive-engine checkpoint",
      CRIU: "criu(: dump| swrk)",
      runC: "runc .*checkpoint",
    };
    for (const [name, pattern] of Object.entries(victims)) {
      it(`${name} is killed: the container runs on`, async () => {
        const { child, ended } = await stopped(`${IMAGES}/keep-killed`);
        for (let i = 0; i < 100 && !(await lab.killMatching("a", pattern)); i++) {
          // runC and CRIU come after the engine.
          await lab.killMatching("a", "pclive-engine checkpoint", "CONT");
        }
        await lab.killMatching("a", "pclive-engine checkpoint", "CONT");
        let stderr = "";
        child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
        assert.equal(await ended, 1);
        await unharmed(["keep1"]);
      });
    }

    it("its command is interrupted: it is given up", async () => {
      const { child, ended } = await stopped(`${IMAGES}/keep-left`);
      lab.signal(child, "SIGINT");
      assert.equal(await ended, 130);
      await unharmed(["keep1"]);
    });

    it("beside another checkpoint, or a migration: told so at once", async () => {
      const { ended } = await stopped(`${IMAGES}/keep2`);
      const second = await checkpointFails(lab, "a", id, `${IMAGES}/keep3`);
      assert.equal(second.code, 1);
      assert.match(second.stderr, /a checkpoint of container e2e-keep is under way/);
      const move = await lab.exec("a", ["pclive", "migrate", id, "b"], {
        allowFailure: true,
        timeoutMs: 60_000,
      });
      assert.equal(move.code, 1, move.stderr);
      assert.match(move.stderr, /a checkpoint of container e2e-keep is under way/);
      await lab.killMatching("a", "pclive-engine checkpoint", "CONT");
      assert.equal(await ended, 0);
      await unharmed(["keep1", "keep2"]);
    });

    it("with --exit, the container goes on from the image with pclive restore", async () => {
      const digest = await redis.digest();
      await checkpoint(lab, "a", id, `${IMAGES}/keep-exit`, "--exit");
      const { stdout } = await lab.exec("a", ["ctr", "task", "ls"]);
      assert.match(stdout, /e2e-keep +\d+ +STOPPED/);
      await lab.exec("a", ["pclive", "restore", id, "--from", `${IMAGES}/keep-exit`], { timeoutMs: 60_000 });
      assert.equal(await redis.digest(), digest);
      const report = await checkpoint(lab, "a", id, `${IMAGES}/keep-again`);
      assert.equal(report.mode, "live", "what was restored can be checkpointed again");
      await assertRuns(lab, "a", id);
    });
  });
});
