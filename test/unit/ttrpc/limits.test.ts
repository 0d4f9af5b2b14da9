import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { containerd } from "#protos/shim";
import { Client, Code, encodeFrame, FrameDecoder, MAX_PAYLOAD_BYTES, Server, streaming, unary } from "#ttrpc";
import { Budget } from "../../../shim/ttrpc/budget.js";
import { MessageQueue } from "../../../shim/ttrpc/queue.js";
import { Bytes, RawPeer } from "./raw.js";

const MIB = 1 << 20;
const shape = { request: Bytes, response: Bytes };
const { CreateTaskRequest } = containerd.task.v2;

describe("ttrpc limits", () => {
  let folder: string;
  let path: string;
  let server: Server;
  let begun: number;
  let goOn: () => void;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "ttrpc-"));
    path = join(folder, "s");
    begun = 0;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    server = new Server({ maxHeldBytes: 20 * MIB });
    server.addService("x.Y", {
      Big: unary(Bytes, Bytes, () => {
        begun += 1;
        return Buffer.alloc(MIB);
      }),
      Wait: unary(Bytes, Bytes, async () => {
        begun += 1;
        await gate;
        return Buffer.alloc(0);
      }),
      Echo: unary(Bytes, Bytes, (bytes) => bytes),
      Create: unary(CreateTaskRequest, Bytes, () => Buffer.alloc(0)),
      Deaf: streaming("client", Bytes, Bytes, async () => {
        await gate;
        return Buffer.alloc(0);
      }),
      Flood: streaming("server", Bytes, Bytes, async (stream) => {
        for await (const _ of stream) {
          for (let i = 0; i < 64; i += 1, begun += 1) await stream.send(Buffer.alloc(MIB));
        }
      }),
    });
    await server.listen({ path });
  });

  afterEach(async () => {
    goOn();
    await server.close(100);
    rmSync(folder, { recursive: true });
  });

  it("stops to read from a client that does not read, keeps little, and goes on with it", async () => {
    const peer = new RawPeer(path);
    peer.socket.pause();
    const calls = 4000;
    const before = process.memoryUsage().rss;
    // Longer than a read of the server's, so that it has the choice to stop.
    const filler = Buffer.alloc(1000);
    for (let i = 0; i < calls; i += 1) peer.request(2 * i + 1, "Big", filler);
    await sleep(300);
    assert.ok(begun > 0 && begun < 1000, `${begun} calls were begun`);
    assert.ok(process.memoryUsage().rss - before < 1200 * MIB);
    peer.socket.resume();
    let answered = 0;
    for (; answered < 300; answered += 1) assert.equal((await peer.answer()).payload.length, MIB);
    peer.close();
  });

  it("lets a stream wait for a client that does not read", async () => {
    const peer = new RawPeer(path);
    peer.socket.pause();
    peer.request(1, "Flood", Buffer.from("x"), { flags: 1 });
    await sleep(200);
    assert.ok(begun <= 3, `${begun} messages were sent`);
    peer.socket.resume();
    for (let i = 0; i < 64; i += 1) assert.equal((await peer.answer()).payload.length, MIB);
    peer.close();
  });

  it("ends the wait of a stream's handler when its client goes away", async () => {
    const peer = new RawPeer(path);
    peer.socket.pause();
    peer.request(1, "Flood", Buffer.from("x"), { flags: 1 });
    await sleep(100);
    assert.equal(server.activeCalls, 1);
    peer.close();
    await until(() => server.activeCalls === 0 && server.connections === 0);
  });

  it("refuses calls that would take too much memory, until others have ended", async () => {
    const client = await Client.connect(path);
    const waiting = Array.from({ length: 8 }, () =>
      client.call("x.Y", "Wait", shape, Buffer.alloc(3 * MIB)).then(
        () => "done",
        (error) => error.code,
      ),
    );
    const small = client.call("x.Y", "Echo", shape, Buffer.from("small"));
    assert.equal((await small).length, 5);
    goOn();
    const ends = await Promise.all(waiting);
    const done = ends.filter((end) => end === "done").length;
    assert.ok(done >= 2 && done < 8, ends.join());
    assert.ok(ends.every((end) => end === "done" || end === Code.RESOURCE_EXHAUSTED));
    assert.equal((await client.call("x.Y", "Echo", shape, Buffer.alloc(3 * MIB))).length, 3 * MIB);
    client.close();
  });

  it("refuses a message that would grow by decoding", async () => {
    const client = await Client.connect(path);
    // Field 3, a mount, empty: two bytes become an object.
    const mounts = Buffer.alloc(MAX_PAYLOAD_BYTES - 100, Buffer.from("1a00", "hex"));
    await assert.rejects(client.call("x.Y", "Create", shape, mounts), { code: Code.RESOURCE_EXHAUSTED });
    assert.equal((await client.call("x.Y", "Create", shape, mounts.subarray(0, 2000))).length, 0);
    client.close();
  });

  it("refuses a request with endless metadata", async () => {
    const client = await Client.connect(path);
    const metadata = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`k${i}`, "v"]));
    const call = client.call("x.Y", "Echo", shape, Buffer.alloc(0), { metadata });
    await assert.rejects(call, { code: Code.INVALID_ARGUMENT });
    client.close();
  });

  it("fails the stream whose handler does not read, and no other call", async () => {
    const client = await Client.connect(path);
    const stream = client.stream("x.Y", "Deaf", { ...shape, stream: "client" });
    const sent = (async () => {
      for (let i = 0; i < 40; i += 1) await stream.send(Buffer.alloc(MIB));
    })();
    await assert.rejects(Promise.all([sent, stream.response()]), { code: Code.RESOURCE_EXHAUSTED });
    assert.equal((await client.call("x.Y", "Echo", shape, Buffer.alloc(10))).length, 10);
    client.close();
  });

  it("refuses further calls to a server that does not read", async () => {
    const client = await Client.connect(path, { maxUnsentBytes: 8 * MIB, timeoutMs: 5000 });
    const calls = Array.from({ length: 10 }, () =>
      client.call("x.Y", "Wait", shape, Buffer.alloc(2 * MIB)).catch((error) => error.message as string),
    );
    goOn();
    const ends = await Promise.all(calls);
    assert.ok(ends.some((end) => typeof end === "string" && /does not take/.test(end)));
    client.close();
  });

  it("serves many calls at once", async () => {
    const client = await Client.connect(path);
    const calls = Array.from({ length: 10_000 }, (_, i) =>
      client.call("x.Y", "Echo", shape, Buffer.from(String(i))),
    );
    const answers = await Promise.all(calls);
    assert.ok(answers.every((answer, i) => Buffer.from(answer).toString() === String(i)));
    client.close();
  });

  it("keeps a frame that arrives byte by byte in one piece", () => {
    const decoder = new FrameDecoder();
    const bytes = encodeFrame(1, 1, 0, Buffer.alloc(MIB, 7));
    const before = process.memoryUsage();
    const frames = [];
    for (let at = 0; at < bytes.length; at += 1) frames.push(...decoder.push(bytes.subarray(at, at + 1)));
    assert.equal(frames.length, 1);
    const after = process.memoryUsage();
    assert.ok(after.external + after.arrayBuffers - before.external - before.arrayBuffers < 40 * MIB);
  });

  it("reads a long queue of small messages in linear time", async () => {
    const count = 200_000;
    const budget = new Budget(2 ** 40);
    const queue = new MessageQueue(2 ** 40, budget);
    const message = Buffer.from("0a00", "hex");
    for (let i = 0; i < count; i += 1) queue.push(message);
    queue.finish();
    let seen = 0;
    for await (const _ of queue) seen += 1;
    assert.equal(seen, count);
    assert.ok(budget.take(2 ** 40), "all was given back");
  });

  it("imports nothing but protobuf's runtime", async () => {
    const { metafile } = await build({
      entryPoints: [fileURLToPath(import.meta.resolve("#ttrpc"))],
      bundle: true,
      platform: "node",
      format: "esm",
      write: false,
      metafile: true,
    });
    const foreign = Object.keys(metafile.inputs).filter((file) => !file.includes("shim/ttrpc/"));
    const packages = new Set(foreign.map((file) => file.replace(/.*node_modules\/([^/]+).*/, "$1")));
    assert.deepEqual([...packages].sort(), ["long", "protobufjs"]);
  });
});

async function until(check: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5000; !check(); await sleep(10)) assert.ok(Date.now() < deadline);
}
