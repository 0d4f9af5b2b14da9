import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, Code, encodeFrame, MAX_PAYLOAD_BYTES, Server, streaming, TtrpcError, unary } from "#ttrpc";
import { Bytes, RawPeer } from "./raw.js";

const { byteLength } = Buffer;
const shape = { request: Bytes, response: Bytes };
const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

describe("ttrpc, by the letter of the protocol", () => {
  let folder: string;
  let path: string;
  let server: Server;
  let peer: RawPeer;
  let failures: string[];
  /** tells how each run of Hold ended */
  let held: Promise<string>;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ttrpc-"));
    path = join(folder, "s");
    failures = [];
    server = new Server({ onCallFailed: (error, { method }) => failures.push(`${method}:${error.code}`) });
    let ended: (how: string) => void = () => {};
    held = new Promise((resolve) => {
      ended = resolve;
    });
    server.addService("x.Y", {
      Echo: unary(Bytes, Bytes, (bytes) => bytes),
      Detailed: unary(Bytes, Bytes, () => {
        const details = [{ typeUrl: "a.Detail", value: Buffer.from("why") }];
        throw new TtrpcError(Code.FAILED_PRECONDITION, "not now", { details });
      }),
      Late: unary(Bytes, Bytes, async (_bytes, { signal }) => {
        await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
        throw new Error("after the deadline");
      }),
      Join: streaming("client", Bytes, Bytes, async (stream) => {
        const parts: string[] = [];
        for await (const part of stream) parts.push(text(part));
        return Buffer.from(parts.join("+"));
      }),
      Grow: streaming("server", Bytes, Bytes, async (stream) => {
        for await (const size of stream) await stream.send(Buffer.alloc(Number(text(size))));
      }),
      Hold: streaming("both", Bytes, Bytes, async (stream) => {
        await stream.send(Buffer.from("hello"));
        for await (const part of stream) ended(`got ${text(part)}`);
        ended("closed");
      }),
    });
    await server.listen({ path });
    peer = new RawPeer(path);
  });

  afterEach(async () => {
    peer.close();
    await server.close(100);
    rmSync(folder, { recursive: true });
  });

  it("says that a stream was never opened, and passes over one that has ended", async () => {
    peer.frame(2, 3, 0);
    assert.deepEqual(await codeOf(peer), [2, Code.INVALID_ARGUMENT]);
    peer.frame(7, 3, 0);
    assert.deepEqual(await codeOf(peer), [7, Code.INVALID_ARGUMENT]);
    peer.request(9, "Echo");
    assert.deepEqual(await codeOf(peer), [9, Code.OK]);
    peer.frame(9, 3, 0);
    peer.frame(3, 3, 0);
    peer.request(11, "Echo");
    assert.deepEqual(await codeOf(peer), [11, Code.OK]);
  });

  it("refuses to use a stream id again", async () => {
    peer.request(5, "Echo");
    assert.deepEqual(await codeOf(peer), [5, Code.OK]);
    peer.request(5, "Echo");
    assert.deepEqual(await codeOf(peer), [5, Code.INVALID_ARGUMENT]);
    peer.request(2 ** 32 - 1, "Echo");
    assert.deepEqual(await codeOf(peer), [2 ** 32 - 1, Code.OK]);
  });

  it("refuses data for a unary call", async () => {
    peer.request(1, "Late");
    peer.frame(1, 3, 0, Buffer.from("more"));
    assert.deepEqual(await codeOf(peer), [1, Code.INVALID_ARGUMENT]);
  });

  it("passes over types of a later protocol, also oversized ones", async () => {
    peer.frame(1, 77, 255, Buffer.from("?"));
    for (const type of [77, 2]) peer.socket.write(oversized(3, type));
    peer.request(5, "Echo", Buffer.from("on"));
    assert.equal(text((await peer.answer()).payload), "on");
  });

  it("answers an oversized request, once, and refuses its id from then on", async () => {
    peer.socket.write(oversized(3, 1));
    assert.deepEqual(await codeOf(peer), [3, Code.RESOURCE_EXHAUSTED]);
    peer.request(3, "Echo");
    assert.deepEqual(await codeOf(peer), [3, Code.INVALID_ARGUMENT]);
    peer.request(5, "Echo");
    assert.deepEqual(await codeOf(peer), [5, Code.OK]);
  });

  it("fails the stream that got an oversized message, and no other", async () => {
    peer.request(1, "Join", undefined, { flags: 2 });
    peer.request(3, "Join", undefined, { flags: 2 });
    peer.socket.write(oversized(1, 3));
    assert.deepEqual(await codeOf(peer), [1, Code.RESOURCE_EXHAUSTED]);
    peer.frame(3, 3, 0, Buffer.from("a"));
    peer.frame(3, 3, 1, Buffer.from("b"));
    assert.equal(text((await peer.answer()).payload), "a+b");
  });

  it("tells an empty message from none", async () => {
    peer.request(1, "Join", undefined, { flags: 2 });
    peer.frame(1, 3, 0);
    peer.frame(1, 3, 0);
    peer.frame(1, 3, 1 | 4);
    assert.equal(text((await peer.answer()).payload), "+");
  });

  it("takes a unary request for a streaming method as its only message", async () => {
    peer.request(1, "Join", Buffer.from("all"));
    assert.equal(text((await peer.answer()).payload), "all");
  });

  it("counts a deadline that has passed as passed", async () => {
    peer.request(1, "Late", undefined, { timeoutNano: -1 });
    assert.deepEqual(await codeOf(peer), [1, Code.DEADLINE_EXCEEDED]);
    assert.deepEqual(failures, ["Late:4"], "what the handler throws later is no second failure");
    const client = await Client.connect(path);
    await assert.rejects(client.call("x.Y", "Echo", shape, Buffer.alloc(0), { timeoutMs: -1 }), {
      code: Code.DEADLINE_EXCEEDED,
    });
    client.close();
  });

  it("carries the details of a status", async () => {
    const client = await Client.connect(path);
    const thrown = await client.call("x.Y", "Detailed", shape, Buffer.alloc(0)).catch((error) => error);
    assert.ok(thrown instanceof TtrpcError);
    assert.deepEqual(
      thrown.details.map(({ typeUrl, value }) => [typeUrl, text(value)]),
      [["a.Detail", "why"]],
    );
    client.close();
  });

  it("fails a stream by a message that is too long, on either side, and goes on", async () => {
    const client = await Client.connect(path);
    const methods = { Join: { ...shape, stream: "client" }, Grow: { ...shape, stream: "server" } } as const;
    const service = client.service("x.Y", methods);
    const join = service.Join();
    await assert.rejects(join.send(Buffer.alloc(MAX_PAYLOAD_BYTES + 1)), { code: Code.RESOURCE_EXHAUSTED });
    await join.send(Buffer.from("still"));
    join.closeSend();
    assert.equal(text(await join.response()), "still");
    const grow = service.Grow();
    await grow.send(Buffer.from(String(MAX_PAYLOAD_BYTES + 1)));
    await assert.rejects(all(grow), { code: Code.RESOURCE_EXHAUSTED });
    const exact = service.Grow();
    await exact.send(Buffer.from(String(MAX_PAYLOAD_BYTES)));
    assert.deepEqual(
      (await all(exact)).map((part) => part.length),
      [MAX_PAYLOAD_BYTES],
    );
    client.close();
  });

  it("lets a handler know that the reader of its stream has left", async () => {
    const client = await Client.connect(path);
    const stream = client.stream("x.Y", "Hold", { ...shape, stream: "both" });
    for await (const part of stream) {
      assert.equal(text(part), "hello");
      break;
    }
    assert.equal(await held, "closed");
    await assert.rejects(stream.send(Buffer.from("x")), { code: Code.CANCELED });
    client.close();
  });

  it("fails a unary call that is answered by the end of a stream", async () => {
    const wrong = createServer((socket) => {
      socket.once("data", () => socket.write(encodeFrame(1, 3, 3, Buffer.from("data"))));
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => wrong.listen(`${path}-wrong`, resolve));
    const client = await Client.connect(`${path}-wrong`);
    await assert.rejects(client.call("x.Y", "Echo", shape, Buffer.alloc(0)), { code: Code.INTERNAL });
    client.close();
    wrong.close();
  });

  it("asks for the request before the answers", async () => {
    const client = await Client.connect(path);
    const stream = client.stream("x.Y", "Grow", { ...shape, stream: "server" });
    await assert.rejects(all(stream), { code: Code.FAILED_PRECONDITION });
    client.close();
  });

  it("refuses socket paths that the system would cut", async () => {
    const long = join(folder, "x".repeat(108 - byteLength(folder)));
    await assert.rejects(Client.connect(long), { code: Code.INVALID_ARGUMENT });
    await assert.rejects(new Server().listen({ path: long }), { code: Code.INVALID_ARGUMENT });
    const longest = new Server();
    await longest.listen({ path: long.slice(0, 107) });
    (await Client.connect(long.slice(0, 107))).close();
    await longest.close();
  });
});

async function codeOf(peer: RawPeer): Promise<[number, number]> {
  const { stream, code } = await peer.answer();
  return [stream, code];
}

async function all<T>(parts: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const part of parts) found.push(part);
  return found;
}

function oversized(stream: number, type: number): Buffer {
  const bytes = Buffer.alloc(10 + MAX_PAYLOAD_BYTES + 1);
  bytes.writeUInt32BE(MAX_PAYLOAD_BYTES + 1, 0);
  bytes.writeUInt32BE(stream, 4);
  bytes.writeUInt8(type, 8);
  return bytes;
}
