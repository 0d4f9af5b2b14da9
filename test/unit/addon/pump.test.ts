import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsoleSocket, pipe, pump, setWinsize } from "#addon";

describe("addon: pump and terminals", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "addon-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it("copies a pipe to several outputs and counts", async () => {
    const child = spawn("sh", ["-c", "seq 1 200000"], { stdio: ["ignore", "pipe", "inherit"] });
    const [read, write] = pipe();
    const [a, b] = [join(folder, "a"), join(folder, "b")];
    const outputs = [openSync(a, "w"), openSync(b, "a")];
    const running = pump(read, outputs);
    child.stdout.on("data", (chunk: Buffer) => writeSync(write, chunk));
    await once(child, "close");
    closeSync(write);
    const expected = execFileSync("seq", ["1", "200000"], { maxBuffer: 1 << 24 });
    assert.equal(await running.done, expected.length);
    assert.ok(expected.equals(readFileSync(a)) && expected.equals(readFileSync(b)));
    for (const fd of [read, ...outputs]) closeSync(fd);
  });

  it("waits for a slow reader, and stops even then", async () => {
    const [inRead, inWrite] = pipe();
    const [outRead, outWrite] = pipe();
    writeSync(inWrite, Buffer.alloc(60_000));
    const running = pump(inRead, [outWrite]);
    await sleep(20);
    writeSync(inWrite, Buffer.alloc(60_000));
    await sleep(20);
    await running.stop();
    await running.stop();
    assert.ok((await running.done) >= 60_000);
    for (const fd of [inRead, inWrite, outRead, outWrite]) closeSync(fd);
  });

  it("lets readers of a fifo see the end at once", async () => {
    const path = join(folder, "fifo");
    execFileSync("mkfifo", [path]);
    const reader = spawn("cat", [path], { stdio: ["ignore", "pipe", "inherit"] });
    const fifo = openSync(path, constants.O_WRONLY);
    const [read, write] = pipe();
    const running = pump(read, [fifo]);
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
      const running = pump(inRead, [outWrite], { stopWhenLost });
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
    const running = pump(master, [outFd]);
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
    assert.throws(() => pump(9999, []), { code: "EBADF" });
    assert.throws(() => pump(-1, []), /input must be an integer/);
    assert.throws(() => setWinsize(0, 70_000, 1), /columns must be an integer from 0 to 65535/);
    const [read, write] = pipe();
    writeFileSync(join(folder, "x"), "");
    writeSync(write, "a");
    assert.equal(readSync(read, Buffer.alloc(4)), 1);
    closeSync(read);
    closeSync(write);
  });
});
