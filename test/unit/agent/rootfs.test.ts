import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pack, Unpacker } from "../../../runtime/agent/rootfs/archive.js";
import { compare, isEmpty, type Layer, type Listing, scan } from "../../../runtime/agent/rootfs/scan.js";

/** Two overlays over the same lower layer: what is done in the one must appear in the other. */
class Pair {
  readonly root = mkdtempSync(join(tmpdir(), "pclive-rootfs-"));
  sent: Listing = new Map();

  constructor() {
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", this.root]);
    for (const folder of [
      "low/etc",
      "low/gone",
      "low/dir/deep",
      "a/up",
      "a/work",
      "a/merged",
      "b/up",
      "b/work",
      "b/merged",
    ])
      mkdirSync(join(this.root, folder), { recursive: true });
    for (const file of ["etc/one", "etc/two", "gone/x", "dir/deep/file", "dir/other", "top"])
      writeFileSync(join(this.root, "low", file), `low ${file}`);
    for (const side of ["a", "b"]) {
      const options = `lowerdir=${this.root}/low,upperdir=${this.root}/${side}/up,workdir=${this.root}/${side}/work`;
      execFileSync("mount", ["-t", "overlay", "overlay", "-o", options, join(this.root, side, "merged")]);
    }
  }

  get layer(): Layer {
    return { upper: join(this.root, "a/up"), lowers: [join(this.root, "low")], merged: this.a() };
  }

  a(path = ""): string {
    return join(this.root, "a/merged", path);
  }

  b(path = ""): string {
    return join(this.root, "b/merged", path);
  }

  async sync(): Promise<boolean> {
    const now = await scan(this.layer.upper);
    const difference = await compare(this.layer, this.sent, now);
    this.sent = now;
    if (isEmpty(difference)) return false;
    const unpacker = new Unpacker(this.b(), 1 << 30);
    for await (const data of pack(this.a(), difference)) await unpacker.add(data);
    await unpacker.finish(10_000);
    return true;
  }

  same(): void {
    const list = (root: string) =>
      execFileSync(
        "sh",
        [
          "-c",
          'cd "$1" && find . -printf "%P %y %m %U %G %l\\n" | sort; find . -type f -exec sha256sum {} + | sort -k2; getfattr -R -d -m user . 2>/dev/null || true',
          "sh",
          root,
        ],
        { encoding: "utf8" },
      );
    assert.equal(list(this.b()), list(this.a()));
  }

  close(): void {
    for (const mount of ["a/merged", "b/merged", ""]) execFileSync("umount", ["-l", join(this.root, mount)]);
    rmSync(this.root, { recursive: true, force: true });
  }
}

describe("writable layer", () => {
  let pair: Pair;
  beforeEach(() => {
    pair = new Pair();
  });
  afterEach(() => pair.close());

  it("brings new, changed and deleted files, links, modes and folders", async () => {
    writeFileSync(pair.a("etc/one"), "changed");
    writeFileSync(pair.a("new"), "new");
    linkSync(pair.a("new"), pair.a("hard"));
    symlinkSync("/etc/one", pair.a("link"));
    chmodSync(pair.a("top"), 0o4711);
    unlinkSync(pair.a("etc/two"));
    rmSync(pair.a("gone"), { recursive: true });
    assert.equal(await pair.sync(), true);
    pair.same();
    assert.equal(statSync(pair.b("hard")).nlink, 2);
  });

  it("understands a folder that hides the one below", async () => {
    rmSync(pair.a("dir"), { recursive: true });
    mkdirSync(pair.a("dir"));
    writeFileSync(pair.a("dir/other"), "mine");
    await pair.sync();
    pair.same();
    assert.equal(existsSync(pair.b("dir/deep")), false);
  });

  it("follows changes of type, replacements and later deletions", async () => {
    mkdirSync(pair.a("thing/sub"), { recursive: true });
    writeFileSync(pair.a("thing/sub/file"), "1");
    writeFileSync(pair.a("log"), "a");
    await pair.sync();
    rmSync(pair.a("thing"), { recursive: true });
    symlinkSync("log", pair.a("thing"));
    writeFileSync(pair.a("log.new"), "b");
    renameSync(pair.a("log.new"), pair.a("log"));
    unlinkSync(pair.a("top"));
    await pair.sync();
    pair.same();
    unlinkSync(pair.a("thing"));
    mkdirSync(pair.a("thing"));
    await pair.sync();
    pair.same();
  });

  it("sends nothing when nothing changed, and what changed within the clock's tick again", async () => {
    writeFileSync(pair.a("log"), "a");
    await pair.sync();
    await sleep(80);
    await pair.sync();
    assert.equal(await pair.sync(), false);
    appendFileSync(pair.a("log"), "b");
    assert.equal(await pair.sync(), true);
    assert.equal(readFileSync(pair.b("log"), "utf8"), "ab");
  });

  it("writes into files that are open already instead of replacing them", async () => {
    writeFileSync(pair.a("log"), "a");
    await pair.sync();
    const inode = statSync(pair.b("log")).ino;
    appendFileSync(pair.a("log"), "b");
    await pair.sync();
    assert.equal(statSync(pair.b("log")).ino, inode);
  });

  it("is not led out of the root by links", async () => {
    const outside = join(pair.root, "outside");
    mkdirSync(outside);
    writeFileSync(join(outside, "secret"), "top secret");
    symlinkSync(outside, pair.b("trap"));
    const header = Buffer.from(JSON.stringify({ removed: ["trap/secret"] }));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(header.length);
    const unpacker = new Unpacker(pair.b(), 1 << 20);
    await unpacker.add(Buffer.concat([length, header]));
    await unpacker.finish(1000);
    assert.equal(existsSync(join(outside, "secret")), true);

    symlinkSync(outside, pair.a("swapped"));
    const difference = { removed: [], changed: ["swapped/secret"], bytes: 0 };
    const pieces: Buffer[] = [];
    for await (const data of pack(pair.a(), difference)) pieces.push(Buffer.from(data));
    assert.equal(Buffer.concat(pieces).includes("top secret"), false);
  });

  it("refuses malformed lists", async () => {
    for (const text of [
      '{"removed":["../x"]}',
      '{"removed":["/x"]}',
      '{"removed":[""]}',
      "{",
      '{"removed":7}',
    ]) {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(text.length);
      await assert.rejects(
        new Unpacker(pair.b(), 1 << 20).add(Buffer.concat([length, Buffer.from(text)])),
        /malformed/,
      );
    }
    await assert.rejects(new Unpacker(pair.b(), 10).add(Buffer.alloc(11)), /larger/);
  });
});
