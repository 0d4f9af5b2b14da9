import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pipe, pump, setWinsize } from "#addon";
import { ConsoleSocket } from "#addon/console";

/** Standard input into a file, with pauses. */
const SLOW_READER = `
import os, sys, time
with open(sys.argv[1], "wb") as out:
    n = 0
    while True:
        got = os.read(0, 70000)
        if not got: break
        out.write(got); n += 1
        if n % 40 == 0: time.sleep(0.01)`;

describe("addon: pump and terminals", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "addon-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("copies a pipe to a file and counts", async () => {
    const child = spawn("sh", ["-c", "seq 1 200000"], { stdio: ["ignore", "pipe", "inherit"] });
    const [read, write] = pipe();
    const path = join(folder, "a");
    const output = openSync(path, "a");
    const running = pump(read, output);
    child.stdout.on("data", (chunk: Buffer) => writeSync(write, chunk));
    await once(child, "close");
    closeSync(write);
    const expected = execFileSync("seq", ["1", "200000"], { maxBuffer: 1 << 24 });
    assert.equal(await running.done, expected.length);
    assert.ok(expected.equals(readFileSync(path)));
    for (const fd of [read, output]) closeSync(fd);
  });

  it("waits for a slow reader, and stops even then", async () => {
    const [inRead, inWrite] = pipe();
    const [outRead, outWrite] = pipe();
    writeSync(inWrite, Buffer.alloc(60_000));
    const running = pump(inRead, outWrite);
    await sleep(20);
    writeSync(inWrite, Buffer.alloc(60_000));
    await sleep(20);
    await running.stop();
    await running.stop();
    assert.ok((await running.done) >= 60_000);
    for (const fd of [inRead, inWrite, outRead, outWrite]) closeSync(fd);
  });

  it("loses nothing between a fast writer and a slow reader", async () => {
    const [inRead, inWrite] = pipe();
    const [outRead, outWrite] = pipe();
    const running = pump(inRead, outWrite);
    for (const fd of [inRead, outWrite]) closeSync(fd);
    // Bursts, which change hands, and single lines, which are copied.
    const script = `
import os, sys, time
for i in range(400):
    sys.stdout.buffer.write(os.urandom(97) * (1 + i * 131 % 2000)); sys.stdout.buffer.flush()
    if i % 50 == 0: time.sleep(0.01)`;
    const tee = join(folder, "sent");
    const writer = spawn("sh", ["-c", `python3 -c '${script}' | tee ${tee} >&3`], {
      stdio: ["ignore", "ignore", "inherit", inWrite],
    });
    closeSync(inWrite);
    const received = join(folder, "received");
    const reader = spawn("python3", ["-c", SLOW_READER, received], {
      stdio: [outRead, "ignore", "inherit"],
    });
    closeSync(outRead);
    await Promise.all([once(writer, "close"), once(reader, "close")]);
    const sent = readFileSync(tee);
    assert.equal(await running.done, sent.length);
    assert.ok(sent.equals(readFileSync(received)));
  }).timeout(20_000);

  it("keeps a chatty process going when nobody reads", async () => {
    const [inRead, inWrite] = pipe();
    const [outRead, outWrite] = pipe();
    const running = pump(inRead, outWrite);
    const line = Buffer.alloc(100, "x");
    // 64 KiB fit into each of the two pipes, however short the lines are that they came in.
    for (let i = 0; i < 1200; i++) {
      if (i % 20 === 0) await sleep(1);
      writeSync(inWrite, line);
    }
    closeSync(inWrite);
    const chunk = Buffer.alloc(1 << 20);
    let got = 0;
    while (got < 1200 * line.length) got += readSync(outRead, chunk);
    assert.equal(await running.done, got);
    for (const fd of [inRead, outRead, outWrite]) closeSync(fd);
  });

  it("moves many streams in one thread", async () => {
    const threads = () => readdirSync("/proc/self/task").length;
    await pump(openSync("/dev/null", "r"), undefined).done;
    const before = threads();
    const pumps = Array.from({ length: 200 }, (_, index) => {
      const [inRead, inWrite] = pipe();
      const [outRead, outWrite] = pipe();
      const { done } = pump(inRead, outWrite);
      for (const fd of [inRead, outWrite]) closeSync(fd);
      writeSync(inWrite, `stream ${index}`);
      return { done, inWrite, outRead, index };
    });
    assert.equal(threads(), before);
    for (const { done, inWrite, outRead, index } of pumps) {
      closeSync(inWrite);
      await done;
      assert.equal(readFileSync(outRead, "utf8"), `stream ${index}`);
      closeSync(outRead);
    }
  });

  it("goes on with a file when its disk has room again", async () => {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", folder]);
    try {
      const [read, write] = pipe();
      const log = openSync(join(folder, "log"), "a");
      const ballast = openSync(join(folder, "ballast"), "w");
      writeSync(ballast, Buffer.alloc(64 * 1024));
      const running = pump(read, log);
      writeSync(write, "lost");
      await sleep(20);
      ftruncateSync(ballast, 0);
      writeSync(write, "kept");
      closeSync(write);
      assert.equal(await running.done, 8);
      assert.equal(readFileSync(join(folder, "log"), "utf8"), "kept");
      for (const fd of [read, log, ballast]) closeSync(fd);
    } finally {
      execFileSync("umount", [folder]);
    }
  });

  it("lets readers of a fifo see the end at once", async () => {
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const reader = spawn("cat", [path], { stdio: ["ignore", "pipe", "inherit"] });
    const fifo = openSync(path, constants.O_WRONLY);
    const [read, write] = pipe();
    const running = pump(read, fifo);
    closeSync(fifo);
    writeSync(write, "hello");
    closeSync(write);
    const [text] = (await once(reader.stdout, "data")) as [Buffer];
    assert.equal(text.toString(), "hello");
    await once(reader, "close");
    assert.equal(await running.done, 5);
    closeSync(read);
  });

  it("goes on without an output that has gone, or stops if asked to", async () => {
    for (const stopWhenLost of [false, true]) {
      const [inRead, inWrite] = pipe();
      const [outRead, outWrite] = pipe();
      const running = pump(inRead, outWrite, { stopWhenLost });
      closeSync(outRead);
      closeSync(outWrite);
      writeSync(inWrite, "lost");
      if (!stopWhenLost) {
        writeSync(inWrite, " more");
        await sleep(20);
        closeSync(inWrite);
      }
      assert.ok((await running.done) >= 4);
      if (stopWhenLost) closeSync(inWrite);
      closeSync(inRead);
    }
  });

  it("receives a terminal over a console socket, and sets its size", async () => {
    const path = join(folder, "console");
    const socket = await ConsoleSocket.listen(path);
    const script = `
import array, fcntl, os, pty, socket, struct, sys, termios
master, slave = pty.openpty()
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])
s.sendmsg([b"/dev/ptmx"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [master]))])
os.close(master)
sys.stdin.readline()
print(struct.unpack("HHHH", fcntl.ioctl(slave, termios.TIOCGWINSZ, b"\\0" * 8))[:2])
os.write(slave, b"from the terminal")
os.close(slave)`;
    const child = spawn("python3", ["-c", script, path], { stdio: ["pipe", "pipe", "inherit"] });
    let printed = "";
    child.stdout.on("data", (chunk: Buffer) => {
      printed += chunk.toString();
    });
    const master = await socket.receive(10_000);
    socket.close();
    setWinsize(master, 132, 43);
    const out = join(folder, "out");
    const outFd = openSync(out, "w");
    const running = pump(master, outFd);
    child.stdin.write("go\n");
    await once(child, "close");
    await running.done;
    assert.equal(printed, "(43, 132)\n");
    assert.equal(readFileSync(out, "utf8"), "from the terminal");
    closeSync(master);
    closeSync(outFd);
  }).timeout(15_000);

  it("does not wait for a terminal for ever, nor take anything else", async () => {
    const socket = await ConsoleSocket.listen(join(folder, "c1"));
    await assert.rejects(socket.receive(30), { code: "ETIMEDOUT" });
    socket.close();
    const other = await ConsoleSocket.listen(join(folder, "c2"));
    const child = spawn("python3", [
      "-c",
      "import socket,sys\ns=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);s.send(b'x')",
      join(folder, "c2"),
    ]);
    await assert.rejects(other.receive(5000), { code: "EPROTO" });
    other.close();
    if (child.exitCode === null) await once(child, "close");
  });

  it("refuses descriptors that are not open", () => {
    assert.throws(() => pump(9999, undefined), { code: "EBADF" });
    assert.throws(() => pump(-1, undefined), /input must be an integer/);
    assert.throws(() => setWinsize(0, 70_000, 1), /columns must be an integer from 0 to 65535/);
    const [read, write] = pipe();
    writeFileSync(join(folder, "x"), "");
    writeSync(write, "a");
    assert.equal(readSync(read, Buffer.alloc(4)), 1);
    closeSync(read);
    closeSync(write);
  });
});
