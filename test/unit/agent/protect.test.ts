import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type Link, MAX_CHAIN, nextIsComplete, superfluous } from "../../../runtime/agent/protect/chain.js";
import { ImageFolder } from "../../../runtime/agent/protect/images.js";
import { type ProtectRecord, ProtectRecords, parse } from "../../../runtime/agent/protect/record.js";
import { render } from "../../../runtime/cli/protect.js";

const complete = (name: string, bytes = 1000): Link => ({ name, parent: "", bytes });
const since = (name: string, parent: string, bytes = 10): Link => ({ name, parent, bytes });

describe("the chain of a protected container's images", () => {
  it("begins with a complete one, and again when the changes weigh as much", () => {
    assert.equal(nextIsComplete([]), true);
    assert.equal(nextIsComplete([complete("1")]), false);
    assert.equal(nextIsComplete([complete("1"), since("2", "1", 500)]), false);
    assert.equal(nextIsComplete([complete("1"), since("2", "1", 500), since("3", "2", 500)]), true);
    assert.equal(nextIsComplete([since("2", "1")]), true, "its parent is not there");
  });

  it("never grows too long", () => {
    const images = [complete("0", 1e9)];
    for (let i = 1; i < MAX_CHAIN; i++) {
      assert.equal(nextIsComplete(images), false);
      images.push(since(String(i), String(i - 1)));
    }
    assert.equal(nextIsComplete(images), true);
  });

  it("what the newest need stays, all else goes, children first", () => {
    const images = [complete("1"), since("2", "1"), complete("3"), since("4", "3"), since("5", "4")];
    assert.deepEqual(superfluous(images, 3), ["2", "1"]);
    assert.deepEqual(superfluous(images, 1), ["2", "1"]);
    assert.deepEqual(superfluous(images, 4), []);
    assert.deepEqual(superfluous(images, 99), []);
  });

  it("whatever is written, the newest can always be restored, and nothing is kept for ever", () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ bytes: fc.nat(2000), lost: fc.boolean() }), { maxLength: 80 }),
        fc.integer({ min: 1, max: 5 }),
        (steps, keep) => {
          let images: Link[] = [];
          steps.forEach(({ bytes, lost }, i) => {
            const last = images.at(-1);
            // An engine that is new (lost) knows no image before.
            const parent = lost || !last || nextIsComplete(images) ? "" : last.name;
            images.push({ name: String(i), parent, bytes: parent === "" ? 1000 : bytes });
            for (const name of superfluous(images, keep)) {
              assert.ok(!images.some((image) => image.parent === name), "a child without its parent");
              images = images.filter((image) => image.name !== name);
            }
            const there = new Set(images.map((image) => image.name));
            assert.ok(images.every((image) => image.parent === "" || there.has(image.parent)));
            assert.ok(images.slice(-keep).length === Math.min(keep, i + 1));
            assert.ok(images.length <= keep + MAX_CHAIN);
          });
        },
      ),
    );
  });
});

describe("the folder and the record of a protected container", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "protect-"));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function image(name: string, parent = ""): Promise<void> {
    await mkdir(join(folder, name));
    await writeFile(join(folder, name, "inventory.img"), "12345");
    await writeFile(join(folder, name, "pclive.json"), "{}");
    if (parent) await symlink(`../${parent}`, join(folder, name, "parent"));
  }

  it("numbers go up, latest leads to the newest", async () => {
    const images = new ImageFolder(folder);
    assert.equal(await images.nextName(), "000001");
    await mkdir(join(folder, "000041"));
    await mkdir(join(folder, "999999999999999"));
    await mkdir(join(folder, "foreign"));
    assert.equal(await images.nextName(), "000042");
    for (const name of ["000001", "000002"]) {
      await images.setLatest(name);
      assert.equal(await readlink(join(folder, "latest")), name);
    }
  });

  it("what was finished is found, what was not is swept away", async () => {
    const images = new ImageFolder(folder);
    await image("000003");
    await image("000004", "000003");
    await mkdir(join(folder, ".000005.pclive-0123456789ab"));
    await mkdir(join(folder, ".000005.other"));
    assert.equal(await images.describe("000005"), undefined);
    const { parent, bytes } = (await images.describe("000004")) ?? assert.fail();
    assert.ok(parent === "000003" && bytes >= 5);
    await rm(join(folder, "000003/pclive.json"));
    assert.equal(await images.describe("000003"), undefined, "whoever wrote it may not have finished");
    await images.discard("000005");
    await images.remove("000004");
    await assert.rejects(images.remove("../x"));
    assert.deepEqual((await readdir(folder)).sort(), [".000005.other", "000003"]);
  });

  const record: ProtectRecord = {
    version: 1,
    namespace: "default",
    container: "web",
    to: "/images",
    everyMs: 1000,
    keep: 3,
    asked: {
      direct: false,
      tracker: "auto",
      tcpEstablished: true,
      externalUnixSockets: false,
      shellJob: false,
      fileLocks: false,
    },
    images: [{ name: "000001", parent: "", at: 5, bytes: 6, frozenMs: 7, totalMs: 8 }],
  };

  it("a record comes back as it was; what is none is passed over", async () => {
    const records = new ProtectRecords(folder);
    await records.write(record);
    await writeFile(join(folder, "protect/default/bad.json"), "{");
    assert.deepEqual(await records.list(), [record]);
    await records.remove(record);
    assert.deepEqual(await records.list(), []);
    for (const change of [{ version: 2 }, { to: "x" }, { container: "../x" }, { images: [{ name: "../x" }] }])
      assert.equal(parse(JSON.stringify({ ...record, ...change })), undefined);
  });

  it("is told in words", () => {
    const failure = { code: "no-space", message: "No space left", remedy: "make room" };
    const told = { container: "web", namespace: "default", to: "/images", everyMs: 1000, keep: 3 };
    const { images } = record;
    const text = render({ ...told, images, state: "on", failure, failedAt: 500 }, 2005);
    assert.match(text, /^default\/web: every 1\.00 s, keeps 3; 1 images in \/images$/m);
    assert.match(text, /newest: \/images\/000001, 2\.00 s ago \(complete, 6 B, frozen 7\.0 ms\)/);
    assert.match(text, /FAILED 1\.5\d s ago: No space left\n {4}try: make room/);
    assert.match(
      render({ ...told, images: [], state: "ended", reason: "gone" }),
      /ended: gone.*\n {2}none yet/,
    );
  });
});
