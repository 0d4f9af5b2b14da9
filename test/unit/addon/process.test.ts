import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { createConnection, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import {
  eventFd,
  getPeerCred,
  pidfdOpen,
  pidfdSendSignal,
  readEventFd,
  realtimeNs,
  reap,
  setSubreaper,
  watchOom,
  watchReadable,
} from "#addon";
import { until } from "../../lib/until.js";

const run = promisify(execFile);

/** Starts `script` as an orphan: its parent ends at once, so the subreaper inherits it. */
async function orphan(script: string): Promise<number> {
  const { stdout } = await run("sh", ["-c", `sh -c 'sleep 0.1; ${script}' >/dev/null 2>&1 & echo $!`]);
  return Number(stdout);
}

async function reaped(pid: number, owned: Set<number>): Promise<number> {
  for (let i = 0; i < 200; i += 1) {
    const found = reap(owned).find((one) => one.pid === pid);
    if (found !== undefined) return found.status;
    await sleep(10);
  }
  throw new Error(`${pid} was not reaped`);
}

describe("addon: processes", () => {
  before(() => setSubreaper());
  after(() => setSubreaper(false));

  it("reaps orphans with their exit code or signal", async () => {
    assert.equal(await reaped(await orphan("exit 7"), new Set()), 7);
    assert.equal(await reaped(await orphan("kill -9 $$"), new Set()), 137);
  });

  it("leaves Node's own children to Node, even while they are zombies", async () => {
    const stranger = await orphan("exit 5");
    const mine = spawn("sh", ["-c", "exit 3"]);
    const pid = mine.pid as number;
    const exit = once(mine, "exit");
    // Let both become zombies without giving Node's loop a turn.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
    const found = reap(new Set([pid]));
    assert.deepEqual(found, [{ pid: stranger, status: 5 }]);
    assert.deepEqual(await exit, [3, null]);
    assert.deepEqual(reap(), []);
  });

  it("signals by pidfd and tells by it that a process has ended", async () => {
    const child = spawn("sleep", ["60"]);
    const fd = pidfdOpen(child.pid as number);
    const ended = new Promise<void>((resolve) => {
      const stop = watchReadable(fd, () => {
        stop();
        stop();
        resolve();
      });
    });
    pidfdSendSignal(fd, 15);
    const [, signal] = (await once(child, "exit")) as [null, string];
    await ended;
    assert.equal(signal, "SIGTERM");
    assert.throws(() => pidfdSendSignal(fd, 0), { code: "ESRCH", syscall: "pidfd_send_signal" });
    closeSync(fd);
  });

  it("knows the peer of a socket", async () => {
    const folder = mkdtempSync(join(tmpdir(), "addon-"));
    const server = createServer().listen(join(folder, "s"));
    const accepted = once(server, "connection");
    const client = createConnection(join(folder, "s"));
    const [socket] = (await accepted) as [Socket & { _handle: { fd: number } }];
    const peer = getPeerCred(socket._handle.fd);
    assert.deepEqual(peer, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    client.destroy();
    socket.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });

  it("watches an eventfd", async () => {
    const fd = eventFd();
    assert.equal(readEventFd(fd), 0);
    const counts: number[] = [];
    const stop = watchReadable(fd, () => counts.push(readEventFd(fd)));
    const word = Buffer.alloc(8);
    word.writeBigUInt64LE(3n);
    writeSync(fd, word);
    await until(() => counts.length > 0);
    stop();
    writeSync(fd, word);
    await sleep(20);
    assert.deepEqual(counts, [3]);
    closeSync(fd);
  });

  // Version 2 needs no addon: test/unit/shim/oom.test.ts.
  if (existsSync("/sys/fs/cgroup/memory/memory.oom_control")) {
    it("tells when a version 1 control group runs out of memory", async () => {
      const group = `/sys/fs/cgroup/memory/pclive-addon-test-${process.pid}`;
      mkdirSync(group);
      try {
        writeFileSync(`${group}/memory.limit_in_bytes`, String(16 << 20));
        let count = 0;
        const watch = watchOom(group, () => {
          count += 1;
        });
        // A preloaded sanitizer would ask for more than the group has, and be refused.
        const greedy = `unset LD_PRELOAD; echo $$ > ${group}/cgroup.procs; exec python3 -c "b = bytearray(64 << 20)"`;
        await assert.rejects(run("sh", ["-c", greedy]), { signal: "SIGKILL" });
        // The kernel tells before it kills: nothing has to be waited for.
        watch.check();
        assert.equal(count, 1);
        watch.check();
        assert.equal(count, 1);
        watch.stop();
        watch.stop();
        assert.throws(() => watchOom("/nowhere", () => {}), { code: "ENOENT" });
      } finally {
        rmdirSync(group);
      }
    }).timeout(10_000);
  }

  it("tells the time in ns", () => {
    const difference = Number(realtimeNs() / 1_000_000n) - Date.now();
    assert.ok(Math.abs(difference) < 100);
  });

  it("names the argument that is wrong", () => {
    assert.throws(() => pidfdOpen(0), /^TypeError: pid must be an integer from 1 to 4194304, not 0$/);
    assert.throws(() => getPeerCred(1.5), /fd must be an integer/);
    assert.throws(() => getPeerCred(9999), { code: "EBADF" });
  });

  it("frees what is left when its thread of JavaScript ends", async () => {
    const script = `
      const { pump, pipe, watchReadable, eventFd } = await import(${JSON.stringify(import.meta.resolve("#addon"))});
      const { Worker, isMainThread } = await import("node:worker_threads");
      const [input] = pipe();
      pump(input, undefined);
      watchReadable(eventFd(), () => {});
      process.exit(0);`;
    const worker = `
      import { Worker } from "node:worker_threads";
      const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(${JSON.stringify(script)})));
      worker.on("error", (error) => { console.error(error); process.exitCode = 1; });
      worker.on("exit", (code) => console.log("worker", code));`;
    const both = [script, worker].map((text) =>
      run(process.execPath, ["--input-type=module", "-e", text], { timeout: 20_000 }),
    );
    const [, second] = await Promise.all(both);
    assert.equal(second?.stdout, "worker 0\n");
  }).timeout(30_000);
});
