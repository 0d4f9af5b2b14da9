import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type CheckpointOptions, takeCheckpoint } from "../../../runtime/checkpoint/checkpoint.js";
import { CheckpointSession } from "../../../runtime/checkpoint/session.js";
import type { MigrationError } from "../../../runtime/migration/index.js";
import { Bench, canFreeze } from "../migration/bench.js";

const IMAGE = ["descriptors.json", "inventory.img", "pages-1.img"];

describe("a checkpoint", function () {
  this.timeout(30_000);
  let bench: Bench;
  let images: string;
  beforeEach(function () {
    if (!canFreeze) this.skip();
    bench = new Bench();
    bench.startVictim();
    images = join(bench.dir, "image");
  });
  afterEach(() => bench?.remove());

  function take(options: Partial<CheckpointOptions> = {}) {
    return takeCheckpoint(bench.source(), {
      to: images,
      before: "running",
      after: "as-before",
      criu: {},
      direct: false,
      tracker: "auto",
      libDir: bench.dir,
      spool: join(bench.dir, "spool"),
      places: bench.places,
      ...options,
    });
  }

  const scratches = () => (existsSync(bench.places.runDir) ? readdirSync(bench.places.runDir) : []);
  const temporary = () => readdirSync(bench.dir).filter((name) => name.includes(".pclive-"));

  async function nothingLeft(error: MigrationError): Promise<void> {
    assert.ok(error.message.length > 0 && error.remedy !== undefined);
    assert.equal(existsSync(images), false, "an image is there");
    assert.deepEqual(temporary(), []);
    assert.deepEqual(scratches(), []);
  }

  async function failed(taken: Promise<unknown>): Promise<MigrationError> {
    const error = await taken.then(
      () => assert.fail("it succeeded"),
      (thrown: MigrationError) => thrown,
    );
    await nothingLeft(error);
    return error;
  }

  it("leaves a running container running, and a complete image", async () => {
    let released = false;
    const phases = new Set<string>();
    const report = await take({
      onReleased: () => {
        released = true;
        assert.equal(bench.freezer(), "thawed");
        assert.equal(existsSync(images), false, "the image comes later");
      },
      onProgress: ({ phase }) => phases.add(phase),
    });
    assert.ok(released);
    assert.deepEqual([...phases], ["round", "freeze", "write"]);
    assert.deepEqual(readdirSync(images).sort(), IMAGE);
    assert.ok(report.frozenMs > 0 && report.frozenMs < report.totalMs);
    assert.equal(report.rounds, 1);
    assert.equal(report.imageBytes, 20480);
    assert.ok(await bench.runs());
    assert.deepEqual([scratches(), temporary()], [[], []]);
  });

  it("leaves a paused container paused, and takes no time of its own", async () => {
    bench.freeze(true);
    const report = await take({ before: "paused" });
    assert.equal(bench.freezer(), "frozen");
    assert.deepEqual([report.frozenMs, report.rounds], [0, 0]);
    assert.deepEqual(readdirSync(images).sort(), IMAGE);
  });

  it("ends a container only when its image is in place", async () => {
    const pid = bench.source().initPid();
    await take({ after: "ended" });
    assert.ok(bench.has("end"));
    assert.deepEqual(readdirSync(images).sort(), IMAGE);
    await bench.dies(pid);
  });

  const troubles = [
    ...["hello", "begin", "round", "final", "dump-go", "write"].map((command) => [command, "die"]),
    ...["round", "write"].map((command) => [command, "error"]),
    ["final", "garbage"],
  ] as const;
  for (const [command = "", trouble] of troubles) {
    it(`the engine: ${trouble} at ${command}: the container runs on`, async () => {
      bench.engineDoes({ [command]: trouble });
      const error = await failed(take());
      assert.equal(bench.freezer(), "thawed");
      assert.ok(await bench.runs());
      assert.ok(error.logs?.startsWith(bench.places.logDir), `logs: ${error.logs}`);
    });
  }

  for (const command of ["final", "write"]) {
    it(`the engine dies at ${command} of a paused container: it stays paused`, async () => {
      bench.freeze(true);
      bench.engineDoes({ [command]: "die" });
      await failed(take({ before: "paused" }));
      assert.equal(bench.freezer(), "frozen");
      bench.freeze(false);
      assert.ok(await bench.runs());
    });
  }

  for (const command of ["write", "dump-end"]) {
    it(`the engine dies at ${command} of a container that shall end: it runs on`, async () => {
      bench.engineDoes({ [command]: "die" });
      await failed(take({ after: "ended" }));
      assert.ok(await bench.runs());
    });
  }

  it("runC fails: its reason is told", async () => {
    bench.trace("broken");
    const error = await failed(take());
    assert.equal(error.code, "dump-failed");
    assert.ok(await bench.runs());
  });

  it("somebody thaws the container in the middle: no image", async () => {
    bench.trace("thaws", bench.cgroup().freezerPath);
    assert.equal((await failed(take())).code, "thawed");
    assert.ok(await bench.runs());
  });

  it("is given up when nobody waits for it any more", async () => {
    const abort = new AbortController();
    bench.engineDoes({ write: "hang" });
    const taken = take({
      signal: abort.signal,
      onProgress: ({ phase }) => phase === "write" && abort.abort(),
    });
    assert.equal((await failed(taken)).code, "cancelled");
    assert.ok(await bench.runs());
  });

  it("a target that cannot be written is told before anything is touched", async () => {
    writeFileSync(join(bench.dir, "file"), "");
    const error = await take({ to: join(bench.dir, "file/image") }).catch((thrown: MigrationError) => thrown);
    assert.ok("code" in error && error.code === "target");
    assert.equal(bench.has("engine.pid"), false, "the engine was started");
    assert.ok(await bench.runs());
  });

  it("an older image stays when a new one fails", async () => {
    mkdirSync(images);
    writeFileSync(join(images, "inventory.img"), "old");
    bench.engineDoes({ write: "error" });
    await assert.rejects(take(), { code: "peer-lost" });
    assert.deepEqual(readdirSync(images), ["inventory.img"]);
  });

  describe("with a session that stays", () => {
    const begin = () =>
      CheckpointSession.begin(bench.source(), {
        before: "running",
        tracker: "auto",
        libDir: bench.dir,
        spool: join(bench.dir, "spool"),
        places: bench.places,
        onScratch: () => undefined,
      });
    const parent = () => readFileSync(join(bench.dir, "parent"), "utf8");

    it("takes one after the other, each on top of the last", async () => {
      const session = await begin();
      const first = await take({ session, incremental: true });
      assert.equal(first.parent, "");
      assert.equal(scratches().length, 1);
      const second = await take({ session, incremental: true, to: join(bench.dir, "next") });
      assert.equal(second.parent, "image");
      assert.equal(parent(), "../image");
      const elsewhere = await take({ session, incremental: true, to: join(bench.dir, "other/next") });
      assert.equal(elsewhere.parent, "", "the last image is not beside it");
      assert.ok(await bench.runs());
      await session.end();
      assert.deepEqual([scratches(), temporary(), session.usable], [[], [], false]);
    });

    it("ends with a failure, and leaves nothing", async () => {
      bench.engineDoes({ write: "error" });
      const session = await begin();
      await failed(take({ session }));
      assert.equal(session.usable, false);
      assert.ok(await bench.runs());
    });

    it("stays when there is no place for the image", async () => {
      const session = await begin();
      await assert.rejects(take({ session, to: "/proc/none/image" }), { code: "target" });
      assert.equal(session.usable, true);
      await take({ session });
      await session.end();
    });
  });
});
