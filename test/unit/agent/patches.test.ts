import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hasAttributes } from "#addon";
import { BLOCK, blockFrame, END, fileFrame, ZEROS } from "../../../runtime/agent/rootfs/patch-format.js";
import { PatchTaker } from "../../../runtime/agent/rootfs/patch-taker.js";
import { Random } from "../../fuzz/random.js";
import { OverlayPair } from "../../lib/overlay-pair.js";

const MIB = 1 << 20;

function write(path: string, at: number, data: Uint8Array): void {
  const fd = openSync(path, "r+");
  writeSync(fd, data, 0, data.length, at);
  closeSync(fd);
}

/** Extended attributes: Node knows nothing of them. */
function mark(call: "setxattr" | "removexattr", ...words: string[]): void {
  const code =
    "import os, sys; getattr(os, sys.argv[1])(*sys.argv[2:4], *(x.encode() for x in sys.argv[4:]))";
  execFileSync("python3", ["-c", code, call, ...words]);
}

describe("patches of files", function () {
  this.timeout(60_000);
  let pair: OverlayPair;
  beforeEach(() => {
    pair = new OverlayPair();
  });
  afterEach(() => pair.close());

  it("sends from the third time on only what has changed of a file", async () => {
    writeFileSync(pair.a("table"), randomBytes(4 * MIB + 100));
    assert.ok((await pair.sync()) > 4 * MIB);
    write(pair.a("table"), 10, Buffer.from("x"));
    assert.ok((await pair.sync()) > 4 * MIB, "nobody knows what tar has read");
    write(pair.a("table"), MIB, Buffer.from("y"));
    write(pair.a("table"), 4 * MIB + 99, Buffer.from("z"));
    const bytes = await pair.sync();
    assert.ok(bytes > 0 && bytes < 2 * BLOCK, `${bytes} bytes`);
    pair.same();
  });

  it("follows files that grow and shrink, and keeps holes", async () => {
    const table = pair.a("table");
    writeFileSync(table, randomBytes(3 * BLOCK + 5));
    await pair.sync();
    for (const size of [3 * BLOCK + 5, 40 * MIB, 2 * BLOCK + 7, 2 * BLOCK, 2 * BLOCK + 9, 0, 10]) {
      truncateSync(table, size);
      assert.ok((await pair.sync()) < MIB, "zeros do not travel");
      pair.same();
    }
    truncateSync(table, 40 * MIB);
    await pair.sync();
    assert.ok(statSync(pair.b("table")).blocks < 2048, "a hole stays a hole");
    write(table, 20 * MIB, randomBytes(BLOCK));
    await pair.sync();
    write(table, 20 * MIB, Buffer.alloc(BLOCK));
    await pair.sync();
    pair.same();
  });

  it("does not read a terabyte of nothing", async () => {
    for (const at of [0, 2 ** 39, 2 ** 38]) {
      if (at === 0) writeFileSync(pair.a("disk"), "");
      truncateSync(pair.a("disk"), 2 ** 40);
      write(pair.a("disk"), at, Buffer.from("here"));
      assert.ok((await pair.sync()) < MIB);
    }
    assert.equal(statSync(pair.b("disk")).size, 2 ** 40);
    const fd = openSync(pair.b("disk"), "r");
    const is = Buffer.alloc(4);
    for (const at of [0, 2 ** 39, 2 ** 38]) {
      readSync(fd, is, 0, 4, at);
      assert.equal(is.toString(), "here");
    }
    closeSync(fd);
  });

  it("brings owner, mode and times along", async () => {
    writeFileSync(pair.a("table"), "1");
    await pair.sync();
    writeFileSync(pair.a("table"), "2");
    chownSync(pair.a("table"), 12, 34);
    chmodSync(pair.a("table"), 0o4751);
    utimesSync(pair.a("table"), 1000.25, 1234567890.123456);
    await pair.sync();
    pair.same();
    const { mtimeMs } = statSync(pair.b("table"));
    assert.ok(Math.abs(mtimeMs - 1234567890123.456) < 0.002, String(mtimeMs));
  });

  it("leaves to tar what has attributes, other names, or is another file by now", async () => {
    for (const name of ["marked", "twin", "swapped", "plain"]) writeFileSync(pair.a(name), `1 ${name}`);
    await pair.sync();
    mark("setxattr", pair.a("marked"), "user.mark", "yes");
    linkSync(pair.a("twin"), pair.a("twin2"));
    writeFileSync(pair.a("new"), "2 swapped");
    renameSync(pair.a("new"), pair.a("swapped"));
    writeFileSync(pair.a("plain"), "2 plain");
    await pair.sync();
    pair.same();
    const fd = openSync(pair.b("marked"), "r");
    assert.equal(hasAttributes(fd), true);
    assert.equal(statSync(pair.b("twin")).ino, statSync(pair.b("twin2")).ino);
    mark("removexattr", pair.a("marked"), "user.mark");
    writeFileSync(pair.a("marked"), "3 marked");
    await pair.sync();
    pair.same();
    assert.equal(hasAttributes(fd), false, "what is gone here is gone there");
    closeSync(fd);
  });

  it("is right whatever is done to files", async () => {
    const random = new Random(7);
    const roll = (sides: number) => random.below(sides);
    const names = ["f0", "f1", "f2", "dir/f3", "dir/f4"];
    mkdirSync(pair.a("dir"), { recursive: true });
    const acts: ((path: string) => void)[] = [
      (path) => writeFileSync(path, random.bytes(roll(4 * BLOCK))),
      (path) => existsSync(path) && write(path, roll(6 * BLOCK), random.bytes(1 + roll(BLOCK))),
      (path) => existsSync(path) && write(path, roll(3 * BLOCK), Buffer.alloc(1 + roll(2 * BLOCK))),
      (path) => existsSync(path) && truncateSync(path, roll(8 * BLOCK)),
      (path) => existsSync(path) && chmodSync(path, 0o600 + roll(0o200)),
      (path) => existsSync(path) && unlinkSync(path),
      (path) => {
        const other = pair.a(names[roll(names.length)] ?? "f0");
        if (existsSync(path) && !existsSync(other)) linkSync(path, other);
      },
      (path) => existsSync(path) && renameSync(path, pair.a(names[roll(names.length)] ?? "f0")),
    ];
    for (let step = 0; step < 80; step++) {
      for (let i = roll(4); i >= 0; i--) acts[roll(acts.length)]?.(pair.a(names[roll(names.length)] ?? "f0"));
      await pair.sync();
      pair.same();
    }
  });
});

describe("patches from a peer", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "pclive-patches-"));
    writeFileSync(join(root, "file"), "contents");
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const header = { path: "file", size: 100_000, mode: 0o644, uid: 0, gid: 0, accessed: 1, modified: 2 };
  const zeros = (word: number): Buffer => {
    const frame = blockFrame(0, 0, false);
    frame.writeUInt32BE(word);
    return frame;
  };

  async function taken(...frames: Buffer[]): Promise<Buffer | undefined> {
    const taker = new PatchTaker(root);
    try {
      return await taker.add(Buffer.concat(frames));
    } finally {
      await taker.close();
    }
  }

  it("takes them byte by byte, and gives back what is behind them", async () => {
    const all = Buffer.concat([
      fileFrame(header),
      blockFrame(8, 3, false),
      Buffer.from("abc"),
      blockFrame(50_000, 100, true),
      END,
      END,
    ]);
    const taker = new PatchTaker(root);
    for (const byte of all.subarray(0, -1)) assert.equal(await taker.add(Buffer.from([byte])), undefined);
    const rest = await taker.add(Buffer.concat([all.subarray(-1), Buffer.from("rest")]));
    assert.equal(rest?.toString(), "rest");
    const is = readFileSync(join(root, "file"));
    assert.equal(is.length, 100_000);
    assert.ok(statSync(join(root, "file")).blocks * 512 <= 4096, "zeros in a hole are not written");
    assert.equal(is.toString("latin1", 0, 12), "contentsabc\0");
  });

  it("refuses what is malformed", async () => {
    const file = fileFrame(header);
    const data = Buffer.alloc(BLOCK + 1);
    const wrong: [string, Buffer[]][] = [
      ["a block that is too long", [file, blockFrame(0, BLOCK + 1, false), data]],
      ["zeros that are too long", [file, zeros(ZEROS + BLOCK + 1)]],
      ["a block behind the end", [file, blockFrame(99_999, 2, false), data]],
      ["an offset beyond all numbers", [file, blockFrame(0, 1, false).fill(0xff, 4), data]],
      [
        "blocks in disorder",
        [file, blockFrame(8, 1, false), Buffer.from("x"), blockFrame(8, 1, false), data],
      ],
      ["a header that is too long", [zeros(1 << 20)]],
      ["no JSON", [Buffer.concat([zeros(3).subarray(0, 4), Buffer.from("{]}")])]],
      ["no path", [fileFrame({ ...header, path: "" })]],
      ["a path that leads out", [fileFrame({ ...header, path: "../file" })]],
      ["a mode that is none", [fileFrame({ ...header, mode: 0o100644 })]],
      ["a time that is none", [fileFrame({ ...header, modified: Number.NaN })]],
    ];
    for (const [what, frames] of wrong) await assert.rejects(taken(...frames), /malformed/, what);
    await assert.rejects(taken(fileFrame({ ...header, size: Number.MAX_SAFE_INTEGER })), { code: "ROOTFS" });
  });

  it("is not led out of the root, and does not wait for what is no file", async () => {
    const outside = mkdtempSync(join(tmpdir(), "pclive-outside-"));
    try {
      writeFileSync(join(outside, "secret"), "top secret");
      symlinkSync(outside, join(root, "folder"));
      symlinkSync(join(outside, "secret"), join(root, "link"));
      execFileSync("mkfifo", [join(root, "fifo")]);
      for (const path of ["folder/secret", "gone"])
        await assert.rejects(taken(fileFrame({ ...header, path })), { code: "ROOTFS" }, path);
      for (const path of ["link", "fifo"])
        await assert.rejects(taken(fileFrame({ ...header, path })), /no plain file/, path);
      assert.equal(readFileSync(join(outside, "secret"), "utf8"), "top secret");
    } finally {
      rmSync(outside, { recursive: true });
    }
  });
});
