import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pino from "pino";
import { pclive } from "#protos/migration";
import { Client, Server, TtrpcError } from "#ttrpc";
import { MigrationError } from "../../../runtime/migration/index.js";
import type { Interruption, MigratableContainer, ShimHost } from "../../../shim/container/migratable.js";
import { migrationService } from "../../../shim/migration/index.js";
import { Bench, canFreeze } from "./bench.js";

const api = pclive.shim.v1;
const ID = "0011223344556677889900aabbccddee";
const SERVICE = "pclive.shim.v1.Migration";

describe("the shim's migration service", function () {
  this.timeout(20_000);
  let bench: Bench;
  let server: Server;
  let client: Client;
  let makeWay: (why: Interruption) => Promise<void> = async () => assert.fail("no move has begun");
  let moves = 0;
  let holds = 0;

  beforeEach(async function () {
    if (!canFreeze) this.skip();
    bench = new Bench();
    bench.startVictim();
    moves = holds = 0;
    const container = {
      ...bench.source(),
      state: () => "running",
      exclusive: <T>(_what: string, run: () => Promise<T>) => run(),
      incoming: () => undefined,
      becomeIdle: async () => {},
      endTracking: () => Promise.resolve(),
      beginMove: (options: { makeWay(why: Interruption): Promise<void> }) => {
        makeWay = options.makeWay;
        moves++;
        return { end: () => moves-- };
      },
    } as unknown as MigratableContainer;
    const host: ShimHost = {
      namespace: "test",
      log: pino({ level: "silent" }),
      libDir: bench.dir,
      container: (id) => (id === "victim" ? container : undefined),
      holdShutdown: () => {
        holds++;
        return () => holds--;
      },
    };
    server = new Server();
    server.addService(SERVICE, migrationService(host, { records: bench.records, places: bench.places }));
    await server.listen({ path: join(bench.dir, "s") });
    client = await Client.connect(join(bench.dir, "s"));
  });
  afterEach(async () => {
    client?.close();
    await server?.close(10);
    bench?.remove();
  });

  const tls = { ca: "/ca", cert: "/cert", key: "/key", peerName: "b" };
  const begin = (changes: object = {}) =>
    client.call(
      SERVICE,
      "SourceBegin",
      { request: api.SourceBeginRequest, response: api.SourceBeginResponse },
      {
        ...{
          migration: ID,
          id: "victim",
          strategy: "pipelined",
          host: "127.0.0.1",
          port: 1,
          token: new Uint8Array(32),
          tls,
        },
        ...changes,
      },
    );
  const step = (method: string, on: Client = client) =>
    on.call(
      SERVICE,
      method,
      { request: api.MigrationRequest, response: api.HandoverState },
      { migration: ID, id: "victim" },
    );
  const state = async () => (await bench.records.read(ID))?.state;

  async function errorOf(call: Promise<unknown>): Promise<MigrationError> {
    try {
      await call;
    } catch (error) {
      assert.ok(error instanceof TtrpcError);
      return MigrationError.fromWire(error.message);
    }
    return assert.fail("it must fail");
  }

  async function until(wanted: string): Promise<void> {
    for (let i = 0; i < 200 && (await state()) !== wanted; i++) await sleep(20);
    assert.equal(await state(), wanted);
  }

  it("moves a container step by step, and lets it go at the end", async () => {
    const begun = await begin();
    assert.equal(begun.tracker, "uffd");
    assert.equal(moves, 1);
    assert.equal(holds, 1);
    await client.call(
      SERVICE,
      "SourceRound",
      { request: api.MigrationRequest, response: api.RoundReport },
      { migration: ID, id: "victim" },
    );
    const report = await client.call(
      SERVICE,
      "SourceSwitchover",
      { request: api.MigrationRequest, response: api.SwitchoverReport },
      { migration: ID, id: "victim" },
    );
    assert.equal(report.skeletonBytes, 1234);
    assert.ok(report.frozenAt > 1.7e12);
    assert.equal((await step("SourceCommit")).state, "committed");
    assert.equal((await step("SourceFinish")).state, "done");
    assert.equal((await step("State")).state, "done");
    assert.equal(moves, 0);
    assert.equal(holds, 0);
  });

  it("rolls back when the connection that began it closes", async () => {
    await begin();
    client.close();
    await until("rolled-back");
    assert.ok(await bench.runs());
    await sleep(100);
    assert.equal(moves, 0);
    assert.equal(holds, 0);
  });

  it("stays committed when that connection closes; another one finishes", async () => {
    await begin();
    await step("SourceSwitchover");
    await step("SourceCommit");
    client.close();
    await sleep(200);
    assert.equal(await state(), "committed");
    assert.equal(bench.freezer(), "frozen");
    client = await Client.connect(join(bench.dir, "s"));
    assert.equal((await step("SourceFinish")).state, "done");
  });

  it("makes way for a kill before the commit, never after", async () => {
    await begin();
    await makeWay({ kind: "kill", signal: 1 });
    assert.equal(await state(), "moving");
    await makeWay({ kind: "kill", signal: 15 });
    assert.equal(await state(), "rolled-back");
    await bench.records.prune(Date.now() + 1000);
    client.close();
    await sleep(100);
    client = await Client.connect(join(bench.dir, "s"));
    await begin();
    await step("SourceSwitchover");
    await step("SourceCommit");
    await assert.rejects(makeWay({ kind: "kill", signal: 9 }), /another host/);
    assert.equal(await state(), "committed");
    await step("SourceFinish");
  });

  it("answers bad requests with one clear error and touches nothing", async () => {
    const bad = [
      { migration: "x" },
      { strategy: "magic" },
      { port: 0 },
      { token: new Uint8Array(3) },
      { netns: "net" },
      { tls: null },
    ];
    for (const changes of bad)
      assert.equal((await errorOf(begin(changes))).code, "invalid", JSON.stringify(changes));
    assert.equal((await errorOf(begin({ id: "nobody" }))).code, "not-found");
    assert.equal((await errorOf(step("SourceCommit"))).code, "wrong-state");
    assert.equal((await step("State")).state, "");
    assert.equal(moves, 0);
    assert.ok(await bench.runs());
  });
});
