/** Bytes through standard streams: all of them, whoever is slow or away, without growing the shim. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { Host } from "./lib/host.js";
import { holdings } from "./lib/leaks.js";
import { fifos, pattern, Reader, Writer } from "./lib/streams.js";

const MIB = 1 << 20;
/** MiB through standard output. */
const SIZE = Number(process.env.ROBUST_MIB ?? 1024);
const PATTERN = 16;
/** More than the heap's own coming and going, and far less than what goes through. */
const GROWTH_KIB = 4096;

describe("streams under load", function () {
  this.timeout(300_000);
  const host = new Host();
  const repeat = (times: number) => `i=0; while [ $i -lt ${times} ]; do cat /data; i=$((i+1)); done`;
  let sent: { bytes: number; digest: string };
  before(async () => {
    await host.open();
    sent = pattern(join(host.folder, "rootfs/data"), PATTERN * MIB, SIZE / PATTERN);
  });
  afterEach(() => host.clear());
  after(() => host.close());

  it(`carries ${SIZE} MiB to a slow reader`, async () => {
    const stdio = fifos(host.folder, "slow", "stdout");
    const reader = new Reader(stdio.stdout);
    const pid = await host.run("slow", { args: ["/bin/sh", "-c", repeat(SIZE / PATTERN)], stdio });
    const shim = host.shimOf(pid);
    await reader.read();
    const before = holdings(shim).rss;
    await reader.readAll(200 * MIB);
    const grown = holdings(shim).rss - before;
    assert.deepEqual({ bytes: reader.bytes, digest: reader.digest() }, sent);
    assert.ok(grown < GROWTH_KIB, `the shim has grown by ${grown} KiB`);
    await host.remove("slow");
  });

  it("keeps everything for a reader that goes away and comes back", async () => {
    const stdio = fifos(host.folder, "back", "stdout");
    const reader = new Reader(stdio.stdout);
    await host.run("back", { args: ["/bin/sh", "-c", repeat(SIZE / PATTERN)], stdio });
    for (let absences = 0; absences < 25; absences++) {
      for (let i = 0; i < 3; i++) await reader.read(1 + Math.floor(Math.random() * 300_000));
      await reader.leave(absences % 5 === 0 ? 100 : 1);
    }
    await reader.readAll();
    assert.deepEqual({ bytes: reader.bytes, digest: reader.digest() }, sent);
    await host.remove("back");
  });

  it("feeds standard input to its last byte", async () => {
    const stdio = fifos(host.folder, "in", "stdin", "stdout");
    const reader = new Reader(stdio.stdout, true);
    await host.run("in", { args: ["/bin/md5sum"], stdio });
    const data = randomBytes(64 * MIB + 12_345);
    const writer = new Writer(stdio.stdin);
    await writer.write(data);
    writer.close();
    await host.closeStdin("in");
    await reader.readAll();
    assert.equal(reader.text.split(" ")[0], createHash("md5").update(data).digest("hex"));
    await host.remove("in");
  });

  it("keeps standard output and errors apart, each in order", async () => {
    const stdio = fifos(host.folder, "both", "stdout", "stderr");
    const readers = [new Reader(stdio.stdout, true), new Reader(stdio.stderr, true)];
    const script = "i=0; while [ $i -lt 20000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
    await host.run("both", { args: ["/bin/sh", "-c", script], stdio });
    await Promise.all(readers.map((reader) => reader.readAll(4 * MIB)));
    const lines = (letter: string) => Array.from({ length: 20_000 }, (_, i) => `${letter}${i}\n`).join("");
    assert.equal(readers[0]?.text, lines("o"));
    assert.equal(readers[1]?.text, lines("e"));
    await host.remove("both");
  });

  it("carries a terminal's output and input", async () => {
    const paths = fifos(host.folder, "tty", "stdin", "stdout");
    const reader = new Reader(paths.stdout, true);
    const script = "stty -echo; echo ready; read word; seq 1 200000; echo $word";
    await host.run("tty", { args: ["/bin/sh", "-c", script], stdio: { ...paths, terminal: true } });
    const writer = new Writer(paths.stdin);
    while (!reader.text.includes("ready")) await reader.read();
    await writer.write(Buffer.from("typed\n"));
    await reader.readAll(20 * MIB);
    writer.close();
    const numbers = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\r\n`).join("");
    assert.equal(reader.text, `ready\r\n${numbers}typed\r\n`);
    await host.remove("tty");
  });

  it("ends the stream when the process ends, not when it is deleted", async () => {
    await host.run("eof", { args: ["/bin/sleep", "1000"] });
    for (let n = 0; n < 20; n++) {
      const stdio = fifos(host.folder, `eof-${n}`, "stdout");
      const reader = new Reader(stdio.stdout, true);
      await host.exec("eof", `e${n}`, ["/bin/echo", "last words"], stdio);
      await reader.readAll();
      assert.equal(reader.text, "last words\n");
      await host.wait("eof", `e${n}`);
      await host.deleteExec("eof", `e${n}`);
    }
    await host.remove("eof");
  });

  it("does not wait for ever for a stream that somebody else holds", async () => {
    await host.run("held", { args: ["/bin/sleep", "1000"] });
    const stdio = fifos(host.folder, "held", "stdout");
    const reader = new Reader(stdio.stdout);
    await host.exec("held", "e", ["/bin/sh", "-c", "sleep 1000 & exit 4"], stdio);
    assert.equal(await host.wait("held", "e"), 4);
    const begun = performance.now();
    assert.equal(await host.deleteExec("held", "e"), 4);
    assert.ok(performance.now() - begun < 25_000);
    await reader.readAll();
    await host.remove("held");
  });
});
