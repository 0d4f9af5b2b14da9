import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Runc, RuncError } from "../../../runtime/runc/index.js";
import { lastErrorIn } from "../../../runtime/runc/log.js";
import { parseList, parsePidFile, parsePids, parseState } from "../../../runtime/runc/results.js";

const code = (expected: string) => (error: unknown) => error instanceof RuncError && error.code === expected;

describe("runc", () => {
  const folder = mkdtempSync(join(tmpdir(), "pclive-runc-"));
  const log = join(folder, "log.json");
  after(() => rmSync(folder, { recursive: true }));

  /** The real class on a script in runC's place, for what a real runC does only in bad weather. */
  function driver(script: string): Runc {
    const binary = join(folder, "runc.sh");
    writeFileSync(binary, `#!/bin/sh\n${script}\n`);
    chmodSync(binary, 0o755);
    return new Runc({ binary, root: join(folder, "root"), log });
  }

  it("puts arguments in runC's order", async () => {
    const seen = join(folder, "args");
    await driver(`echo "$@" > ${seen}`).checkpoint("c", {
      imagePath: "/i",
      workPath: "/w",
      leaveRunning: true,
      tcpEstablished: true,
    });
    const globals = `--root ${join(folder, "root")} --log ${log} --log-format json`;
    const expected = `${globals} checkpoint --image-path /i --work-path /w --tcp-established --leave-running c`;
    assert.equal(readFileSync(seen, "utf8").trim(), expected);
  });

  it("fails with the last error of this command's log", async () => {
    writeFileSync(log, '{"level":"error","msg":"older"}\n');
    const runc = driver(`echo '{"level":"error","msg":"why"}' >> ${log}; exit 1`);
    await assert.rejects(runc.start("c"), /^RuncError: why$/);
    await assert.rejects(driver("echo usage >&2; exit 3").start("c"), /^RuncError: usage$/);
    await assert.rejects(driver("exit 4").start("c"), /ended with status 4/);
  });

  it("sorts failures", async () => {
    const says = (text: string) => driver(`echo '${text}' >&2; exit 1`);
    await assert.rejects(says("container does not exist").delete("c"), code("CONTAINER_NOT_FOUND"));
    await assert.rejects(says("os: process already finished").kill("c", 9), code("PROCESS_GONE"));
    await assert.rejects(says("no space left").delete("c"), code("RUNC_FAILED"));
    await assert.rejects(
      new Runc({ binary: "/no/runc", root: "/r", log }).start("c"),
      code("RUNC_NOT_FOUND"),
    );
    await assert.rejects(driver("echo nonsense").state("c"), code("RUNC_OUTPUT"));
  });

  it("ends what takes too long, with its helpers, and what is cancelled", async () => {
    const began = Date.now();
    await assert.rejects(driver("sleep 60; true").start("c", { timeoutMs: 100 }), code("RUNC_TIMEOUT"));
    const cancel = new AbortController();
    setTimeout(() => cancel.abort(), 50);
    await assert.rejects(
      driver("sleep 60; true").start("c", { signal: cancel.signal }),
      code("RUNC_ABORTED"),
    );
    await assert.rejects(driver("true").start("c", { signal: AbortSignal.abort() }), code("RUNC_ABORTED"));
    assert.ok(Date.now() - began < 5000);
  });

  it("hands environment and input on", async () => {
    const seen = join(folder, "seen");
    const runc = driver(`{ echo "$A $B"; cat; } > ${seen}`).withEnv({ A: "1" });
    await runc.update("c", "{}", { env: { B: "2" } });
    assert.equal(readFileSync(seen, "utf8"), "1 2\n{}");
  });

  it("checks what runC prints", () => {
    const state = {
      id: "a",
      pid: 7,
      status: "running",
      bundle: "/b",
      rootfs: "/r",
      annotations: { k: "v", bad: 1 },
    };
    assert.deepEqual(parseState("state", JSON.stringify(state)).annotations, { k: "v" });
    assert.equal(parseState("state", JSON.stringify({ ...state, pid: 0, status: "stopped" })).pid, 0);
    for (const bad of [
      "[]",
      "null",
      JSON.stringify({ ...state, status: "new" }),
      JSON.stringify({ ...state, pid: -1 }),
    ]) {
      assert.throws(() => parseState("state", bad), code("RUNC_OUTPUT"));
    }
    assert.deepEqual(parseList("list", "null"), []);
    assert.deepEqual(parsePids("ps", "[1,2]"), [1, 2]);
    assert.throws(() => parsePids("ps", '["1"]'), code("RUNC_OUTPUT"));
    assert.deepEqual(["12", "12\n", "", "x", "0", "99999999999"].map(parsePidFile), [
      12,
      12,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("finds the last error among other lines", () => {
    const text =
      '{"level":"error","msg":"one"}\nnot json\n{"level":"warning","msg":"two"}\n{"level":"fatal"}\n{broken\n';
    assert.equal(lastErrorIn(text), "one");
    assert.equal(lastErrorIn("plain\n"), undefined);
  });
});
