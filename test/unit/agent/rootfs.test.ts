import assert from "node:assert/strict";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pack } from "../../../runtime/agent/rootfs/pack.js";
import { Unpacker } from "../../../runtime/agent/rootfs/unpack.js";
import { OverlayPair } from "../../lib/overlay-pair.js";

describe("writable layer", () => {
  let pair: OverlayPair;
  beforeEach(() => {
    pair = new OverlayPair();
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
    assert.ok(await pair.sync());
    pair.same();
    assert.equal(statSync(pair.b("hard")).nlink, 2);
  });

  it("tells names of one file apart when one of them becomes another file", async () => {
    writeFileSync(pair.a("one"), "both");
    for (const name of ["two", "a-first", "z-last"]) linkSync(pair.a("one"), pair.a(name));
    await pair.sync();
    for (const name of ["two", "a-first", "z-last"]) {
      writeFileSync(pair.a("new"), `mine: ${name}`);
      renameSync(pair.a("new"), pair.a(name));
      await pair.sync();
      pair.same();
    }
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
    assert.equal(await pair.sync(), 0);
    appendFileSync(pair.a("log"), "b");
    assert.ok(await pair.sync());
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
    const difference = { removed: [], changed: ["swapped/secret"], rewritten: [], bytes: 0 };
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
