import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { containerd, google } from "#protos/shim";
import { Client, Code, encodeFrame, MAX_PAYLOAD_BYTES, Server, streaming, TtrpcError, unary } from "#ttrpc";
import { RawPeer } from "./raw.js";

const { StateRequest, StateResponse } = containerd.task.v2;
const Any = google.protobuf.Any;
const SERVICE = "test.v1.Test";

const shape = {
  Echo: { request: StateRequest, response: StateResponse },
  Blob: { request: Any, response: Any },
  Never: { request: StateRequest, response: StateResponse },
  Fail: { request: StateRequest, response: StateResponse },
  Sum: { request: Any, response: Any, stream: "client" },
  Count: { request: StateRequest, response: StateResponse, stream: "server" },
  Chat: { request: Any, response: Any, stream: "both" },
} as const;

describe("ttrpc calls", () => {
  let directory: string;
  let path: string;
  let server: Server;
  let client: Client;
  let failures: string[];
  let lastAbort: unknown;
  let metadata: unknown;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "ttrpc-"));
    path = join(directory, "s");
    failures = [];
    lastAbort = undefined;
    server = new Server({
      onCallFailed: (error, context) => failures.push(`${context.method}:${error.code}`),
      maxCalls: 50,
    });
    server.addService(SERVICE, {
      Echo: unary(StateRequest, StateResponse, async (request, context) => {
        metadata = Object.fromEntries(context.metadata);
        if (request.execId !== "") await sleep(Number(request.execId));
        return { id: request.id, pid: context.connection.id };
      }),
      Blob: unary(Any, Any, (request) => ({ value: Buffer.alloc(Number(request.type_url)) })),
      Never: unary(StateRequest, StateResponse, async (_request, context) => {
        await new Promise<void>((resolve) => context.signal.addEventListener("abort", () => resolve()));
        lastAbort = context.signal.reason;
        return {};
      }),
      Fail: unary(StateRequest, StateResponse, (request) => {
        if (request.id === "plain") throw new Error("plain words");
        throw new TtrpcError(Code.NOT_FOUND, "container not created");
      }),
      Sum: streaming("client", Any, Any, async (stream) => {
        let sum = 0;
        for await (const message of stream) sum += Number(message.type_url);
        return { type_url: String(sum) };
      }),
      Count: streaming("server", StateRequest, StateResponse, async (stream) => {
        for await (const request of stream) {
          for (let pid = 1; pid <= Number(request.id); pid += 1) await stream.send({ pid });
          if (request.execId === "fail") throw new TtrpcError(Code.ABORTED, "half way");
        }
      }),
      Chat: streaming("both", Any, Any, async (stream) => {
        for await (const message of stream) await stream.send({ type_url: message.type_url.toUpperCase() });
      }),
    });
    await server.listen({ path });
    client = await Client.connect(path, { timeoutMs: 2000 });
  });

  afterEach(async () => {
    client.close();
    await server.close(100);
    rmSync(directory, { recursive: true });
  });

  const call = () => client.service(SERVICE, shape);

  it("answers a unary call, with metadata", async () => {
    const answer = await call().Echo(
      { id: "redis" },
      { metadata: { "Containerd-Namespace-Ttrpc": "default", many: ["1", "2"] } },
    );
    assert.equal(answer.id, "redis");
    assert.equal(answer.pid, 1);
    assert.deepEqual(metadata, { "containerd-namespace-ttrpc": ["default"], many: ["1", "2"] });
  });

  it("runs calls of one connection concurrently and answers in any order", async () => {
    const order: string[] = [];
    const one = async (id: string, ms: string) => order.push((await call().Echo({ id, execId: ms })).id);
    await Promise.all([one("slow", "120"), one("quick", "1"), one("middle", "50")]);
    assert.deepEqual(order, ["quick", "middle", "slow"]);
  });

  it("carries codes and messages of errors, UNKNOWN for foreign ones", async () => {
    await assert.rejects(call().Fail({}), { code: Code.NOT_FOUND, message: "container not created" });
    await assert.rejects(call().Fail({ id: "plain" }), { code: Code.UNKNOWN, message: "plain words" });
    assert.deepEqual(failures, ["Fail:5", "Fail:2"]);
  });

  it("knows what it does not serve", async () => {
    await assert.rejects(client.call("x.Y", "Z", shape.Echo, {}), { code: Code.UNIMPLEMENTED });
    await assert.rejects(client.call(SERVICE, "Z", shape.Echo, {}), { code: Code.UNIMPLEMENTED });
    await assert.rejects(client.call(SERVICE, "constructor", shape.Echo, {}), { code: Code.UNIMPLEMENTED });
  });

  it("keeps deadlines on both sides", async () => {
    await assert.rejects(call().Never({}, { timeoutMs: 40 }), { code: Code.DEADLINE_EXCEEDED });
    await until(() => lastAbort !== undefined);
    assert.ok(lastAbort instanceof TtrpcError && lastAbort.code === Code.DEADLINE_EXCEEDED);
    assert.equal(server.activeCalls, 0);
    assert.equal((await call().Echo({ id: "still" })).id, "still");
  });

  it("lets a caller give up", async () => {
    await assert.rejects(call().Never({}, { signal: AbortSignal.timeout(30) }), { code: Code.CANCELED });
  });

  it("tells handlers when the connection has gone, and callers too", async () => {
    const pending = call().Never({});
    await until(() => server.activeCalls === 1);
    client.close();
    await assert.rejects(pending, { code: Code.UNAVAILABLE });
    assert.ok(client.closed.aborted);
    await until(() => lastAbort !== undefined);
    assert.ok(lastAbort instanceof TtrpcError && lastAbort.code === Code.CANCELED);
    assert.equal(server.connections, 0);
    await assert.rejects(call().Echo({}), { code: Code.UNAVAILABLE });
  });

  it("refuses answers and requests that are too long without harm to the connection", async () => {
    const most = await call().Blob({ type_url: String(MAX_PAYLOAD_BYTES - 20) });
    assert.equal(most.value.length, MAX_PAYLOAD_BYTES - 20);
    await assert.rejects(call().Blob({ type_url: String(MAX_PAYLOAD_BYTES) }), {
      code: Code.RESOURCE_EXHAUSTED,
    });
    await assert.rejects(call().Blob({ value: Buffer.alloc(MAX_PAYLOAD_BYTES) }), {
      code: Code.RESOURCE_EXHAUSTED,
    });
    client.socket.write(oversized(5));
    assert.equal((await call().Echo({ id: "on" })).id, "on");
  });

  it("limits the calls of one connection", async () => {
    const many = Array.from({ length: 60 }, () => call().Echo({ execId: "50" }));
    const settled = await Promise.allSettled(many);
    assert.equal(settled.filter((one) => one.status === "rejected").length, 10);
  });

  it("streams from the client", async () => {
    const stream = call().Sum();
    for (let i = 1; i <= 100; i += 1) await stream.send({ type_url: String(i) });
    stream.closeSend();
    assert.equal((await stream.response()).type_url, "5050");
  });

  it("streams from the server, and ends by an error", async () => {
    const good = call().Count();
    await good.send({ id: "3" });
    const pids: number[] = [];
    for await (const answer of good) pids.push(answer.pid);
    assert.deepEqual(pids, [1, 2, 3]);
    const bad = call().Count();
    await bad.send({ id: "2", execId: "fail" });
    await assert.rejects(
      async () => {
        for await (const answer of bad) assert.ok(answer.pid > 0);
      },
      { code: Code.ABORTED, message: "half way" },
    );
  });

  it("streams both ways", async () => {
    const chat = call().Chat();
    const words: string[] = [];
    await chat.send({ type_url: "a" });
    for await (const answer of chat) {
      words.push(answer.type_url);
      if (words.length < 3) await chat.send({ type_url: "b" });
      else chat.closeSend();
    }
    assert.deepEqual(words, ["A", "B", "B"]);
  });

  it("checks stream ids: odd, increasing", async () => {
    const peer = new RawPeer(path);
    for (const stream of [2, 5, 3]) peer.frame(stream, 1, 0);
    for (const [stream, code] of [
      [2, Code.INVALID_ARGUMENT],
      [5, Code.UNIMPLEMENTED],
      [3, Code.INVALID_ARGUMENT],
    ]) {
      const answer = await peer.answer();
      assert.deepEqual([answer.stream, answer.code], [stream, code]);
    }
    peer.close();
  });

  it("answers malformed requests and keeps the connection", async () => {
    const peer = new RawPeer(path);
    peer.frame(1, 1, 0, Buffer.from("ffffffff", "hex"));
    peer.frame(3, 9, 0, Buffer.alloc(4));
    peer.request(5, "Echo", undefined, { service: SERVICE });
    assert.equal((await peer.answer()).code, Code.INVALID_ARGUMENT);
    assert.equal((await peer.answer()).stream, 5);
    peer.close();
  });

  it("asks authorize about each connection", async () => {
    const refused: unknown[] = [];
    const closed = new Server({
      authorize: (fd) => {
        assert.ok(fd > 2);
        throw new Error("not you");
      },
      onRefused: (error) => refused.push(error),
    });
    await closed.listen({ path: `${path}2` });
    const stranger = await Client.connect(`${path}2`);
    await assert.rejects(stranger.call("a", "b", shape.Echo, {}), { code: Code.UNAVAILABLE });
    assert.equal(refused.length, 1);
    await closed.close();
  });

  it("serves a socket that was bound by a process that has ended", async () => {
    const serve = `
      import { Server, unary } from ${JSON.stringify(import.meta.resolve("#ttrpc"))};
      const Raw = { encode: (bytes) => ({ finish: () => bytes }), decode: (bytes) => bytes };
      const server = new Server();
      server.addService("x.Y", { Echo: unary(Raw, Raw, (request) => request) });
      await server.listen({ fd: 3 });`;
    const bind = `
      import { createServer } from "node:net";
      import { spawn } from "node:child_process";
      const server = createServer().listen(${JSON.stringify(`${path}3`)}, () => {
        const stdio = ["ignore", "ignore", "ignore", server._handle.fd];
        const child = spawn(process.execPath, ["--input-type=module", "-e", ${JSON.stringify(serve)}], { stdio, detached: true });
        console.log(child.pid);
        process.exit(0);
      });`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", bind]);
    try {
      const other = await Client.connect(`${path}3`);
      const answer = await other.call("x.Y", "Echo", shape.Echo, { id: "fd" }, { timeoutMs: 5000 });
      assert.equal(answer.id, "fd");
      other.close();
    } finally {
      process.kill(Number(stdout));
    }
  }).timeout(10_000);

  it("says when nobody listens", async () => {
    await assert.rejects(Client.connect(`${path}-none`), { code: Code.UNAVAILABLE });
  });

  it("survives noise", async () => {
    let seed = 12345;
    const random = (below: number) => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed % below;
    };
    for (let round = 0; round < 200; round += 1) {
      const socket = createConnection(path);
      socket.on("error", () => {});
      for (let part = 0; part < 5; part += 1) socket.write(noise(random));
      socket.resume();
      socket.end();
      if (round % 20 === 19) await sleep(5);
    }
    await sleep(50);
    assert.equal((await call().Echo({ id: "alive" })).id, "alive");
  });
});

/** A frame that is random, or nearly right. */
function noise(random: (below: number) => number): Buffer {
  const body = Buffer.from(Array.from({ length: random(60) }, () => random(256)));
  if (random(3) === 0) return body;
  const head = Buffer.concat([
    Buffer.from([0x0a, SERVICE.length]),
    Buffer.from(SERVICE),
    Buffer.from("120443686174", "hex"),
  ]);
  return encodeFrame(
    random(40),
    1 + random(4),
    random(8),
    random(2) === 0 ? Buffer.concat([head, body]) : body,
  );
}

function oversized(stream: number): Buffer {
  const bytes = Buffer.alloc(10 + MAX_PAYLOAD_BYTES + 1);
  bytes.writeUInt32BE(MAX_PAYLOAD_BYTES + 1, 0);
  bytes.writeUInt32BE(stream, 4);
  bytes.writeUInt8(2, 8);
  return bytes;
}

async function until(check: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5000; !check(); await sleep(5)) assert.ok(Date.now() < deadline);
}
