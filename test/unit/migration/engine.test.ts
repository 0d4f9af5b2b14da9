import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Engine } from "../../../runtime/migration/engine.js";
import { parseLine } from "../../../runtime/migration/engine-messages.js";
import { identify, isAlive } from "../../../runtime/migration/process.js";
import { Bench } from "./bench.js";

describe("the engine's client", function () {
  this.timeout(20_000);
  let bench: Bench;
  beforeEach(() => {
    bench = new Bench();
  });
  afterEach(() => bench.remove());

  async function start(script: object = {}) {
    bench.engineDoes(script);
    return Engine.start({ binary: bench.engine, role: "source", logFile: `${bench.dir}/engine.log` });
  }

  it("gives checked answers and events, also those that came before they were asked for", async () => {
    const { engine, hello } = await start();
    assert.equal(hello.features.uffdWpAsync, true);
    await engine.request("begin", {}, { timeoutMs: 1000 });
    assert.equal((await engine.event("dump-held", 1000)).pid, 1);
    assert.equal((await engine.request("round", {}, { timeoutMs: 1000 })).bytes, 40960);
    await engine.close();
  });

  it("reports a refusal with the engine's own code and goes on", async () => {
    const { engine } = await start({ connect: "error" });
    await assert.rejects(engine.request("connect", {}, { timeoutMs: 1000 }), {
      code: "peer-lost",
      remedy: "look at the network",
    });
    await engine.request("round", {}, { timeoutMs: 1000 });
    await engine.close();
  });

  it("turns its death into one error for all that wait, with its last words", async () => {
    const { engine } = await start({ final: "die" });
    const waiting = [
      engine.request("final", {}, { timeoutMs: 5000 }),
      engine.event("snapshotted", 5000),
      engine.failed,
    ];
    for (const outcome of await Promise.allSettled(waiting)) {
      assert.equal(outcome.status, "rejected");
      assert.equal(outcome.reason.code, "engine-failed");
      assert.match(outcome.reason.message, /status 3.*dying of final/);
    }
    await assert.rejects(engine.request("round", {}, { timeoutMs: 1000 }), { code: "engine-failed" });
    assert.match(readFileSync(`${bench.dir}/engine.log`, "utf8"), /dying/);
    await engine.close();
  });

  it("bounds every request and every wait", async () => {
    const { engine } = await start({ round: "hang" });
    await assert.rejects(engine.request("round", {}, { timeoutMs: 50 }), { code: "timeout" });
    await assert.rejects(engine.event("held", 50), { code: "timeout" });
    await engine.close();
  });

  it("gives up on an engine that talks nonsense", async () => {
    const { engine } = await start({ round: "garbage" });
    await assert.rejects(engine.request("round", {}, { timeoutMs: 5000 }), { code: "protocol" });
    await engine.close();
    assert.equal(
      identify(engine.pid) && isAlive(identify(engine.pid) ?? { pid: 0, startTime: "" }),
      undefined,
    );
  });

  it("refuses an answer that lacks what it must have", async () => {
    const { engine } = await start({ round: "wrong" });
    await assert.rejects(engine.request("round", {}, { timeoutMs: 5000 }), { code: "protocol" });
    await engine.close();
  });

  it("says clearly that there is no engine", async () => {
    const options = {
      binary: "/nonexistent/engine",
      role: "source",
      logFile: `${bench.dir}/engine.log`,
    } as const;
    await assert.rejects(Engine.start(options), { code: "engine-failed", message: /cannot be started/ });
  });

  it("passes over events of a newer engine, but not over broken ones", () => {
    assert.deepEqual(parseLine('{"event":"heat","t":"1"}'), { kind: "unknown-event", name: "heat" });
    assert.throws(() => parseLine('{"event":"held","t":"1"}'));
    assert.throws(() => parseLine('{"event":7}'));
    assert.throws(() => parseLine("[]"));
    assert.throws(() => parseLine('{"id":-1,"ok":true}'));
  });
});
