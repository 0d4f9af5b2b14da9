import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { ImageTarget } from "../../../runtime/checkpoint/target.js";

const IMAGE = ["core-1.img", "pages-1.img", "inventory.img"];

describe("an image's folder", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "target-"));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  function fill(target: ImageTarget, text = "new"): void {
    for (const name of IMAGE) writeFileSync(join(target.temporary, name), text);
  }
  const list = (folder: string) => readdirSync(folder).sort();

  it("is not there before it is published, and complete afterwards", async () => {
    const path = join(root, "deep/er/image");
    const target = await ImageTarget.prepare(path);
    fill(target);
    assert.equal(existsSync(path), false);
    assert.equal(statSync(target.temporary).mode & 0o777, 0o700);
    await target.publish();
    assert.deepEqual(list(path), [...IMAGE].sort());
    assert.deepEqual(list(dirname(path)), ["image"]);
  });

  it("takes the place of an empty folder, and its mode", async () => {
    const path = join(root, "empty");
    mkdirSync(path, { mode: 0o750 });
    const target = await ImageTarget.prepare(path);
    fill(target);
    await target.publish();
    assert.equal(statSync(path).mode & 0o777, 0o750);
    assert.deepEqual(list(root), ["empty"]);
  });

  it("follows a link to a folder", async () => {
    mkdirSync(join(root, "real"));
    symlinkSync(join(root, "real"), join(root, "link"));
    const target = await ImageTarget.prepare(join(root, "link"));
    fill(target);
    await target.publish();
    assert.deepEqual(list(join(root, "real")), [...IMAGE].sort());
    assert.deepEqual(list(root), ["link", "real"]);
  });

  it("leaves what else is in a folder, and takes the place of an older image", async () => {
    const path = join(root, "used");
    mkdirSync(path);
    for (const name of [...IMAGE, "notes.txt"]) writeFileSync(join(path, name), "old");
    const target = await ImageTarget.prepare(path);
    assert.equal(dirname(target.temporary), path);
    fill(target);
    await target.publish();
    assert.deepEqual(list(path), [...IMAGE, "notes.txt"].sort());
    assert.equal(readFileSync(join(path, "inventory.img"), "utf8"), "new");
    assert.equal(readFileSync(join(path, "notes.txt"), "utf8"), "old");
  });

  it("leaves an older image alone until the new one is complete", async () => {
    const path = join(root, "used");
    mkdirSync(path);
    for (const name of IMAGE) writeFileSync(join(path, name), "old");
    const target = await ImageTarget.prepare(path);
    writeFileSync(join(target.temporary, "core-1.img"), "new");
    await target.discard();
    assert.deepEqual(list(path), [...IMAGE].sort());
    for (const name of IMAGE) assert.equal(readFileSync(join(path, name), "utf8"), "old");
  });

  it("moves into a mount point", async () => {
    const path = join(root, "mount");
    mkdirSync(path);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "none", path]);
    try {
      const target = await ImageTarget.prepare(path);
      assert.equal(dirname(target.temporary), path);
      fill(target);
      await target.publish();
      assert.deepEqual(list(path), [...IMAGE].sort());
    } finally {
      execFileSync("umount", [path]);
    }
  });

  it("leaves nothing of an image that is given up, and no folder made for it", async () => {
    const target = await ImageTarget.prepare(join(root, "a/b/image"));
    fill(target);
    await target.discard();
    await target.discard();
    assert.deepEqual(list(root), []);
    mkdirSync(join(root, "empty"));
    const other = await ImageTarget.prepare(join(root, "empty"));
    fill(other);
    await other.publish();
    await other.discard();
    assert.deepEqual(list(root), ["empty"]);
    assert.deepEqual(list(join(root, "empty")), []);
  });

  it("takes nothing away that somebody else has put there meanwhile", async () => {
    const path = join(root, "image");
    const target = await ImageTarget.prepare(path);
    fill(target);
    mkdirSync(path);
    writeFileSync(join(path, "theirs"), "");
    await assert.rejects(target.publish(), { code: "target", message: /cannot be put in place/ });
    await target.discard();
    assert.deepEqual(list(root), ["image"]);
    assert.deepEqual(list(path), ["theirs"]);
  });

  it("says what is wrong with a place that cannot be written", async () => {
    writeFileSync(join(root, "file"), "");
    for (const wrong of [join(root, "file"), join(root, "file/image"), "/proc/nowhere/image"]) {
      await assert.rejects(
        ImageTarget.prepare(wrong),
        (error: Error & { code?: string; remedy?: string }) => {
          assert.equal(error.code, "target");
          assert.ok(error.message.includes(wrong) && error.remedy, error.message);
          return true;
        },
      );
    }
    assert.deepEqual(list(root), ["file"]);
  });

  it("has a name for its temporary folder however long the target's is", async () => {
    for (const name of ["x".repeat(255), "é".repeat(127)]) {
      const target = await ImageTarget.prepare(join(root, name));
      assert.ok(Buffer.byteLength(basename(target.temporary)) <= 255);
      fill(target);
      await target.publish();
      assert.deepEqual(list(join(root, name)), [...IMAGE].sort());
    }
  });
});
