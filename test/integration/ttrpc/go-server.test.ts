import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client, Code, encodeFrame, MAX_PAYLOAD_BYTES, type ServiceClient, TtrpcError } from "#ttrpc";
import { RawPeer } from "../../unit/ttrpc/raw.js";
import { Any, GoServer, SERVICE, SHAPES, scenarios } from "./peer.js";

scenarios();

describe("our ttrpc client and Go's server", () => {
  const folder = mkdtempSync(join(tmpdir(), "ttrpc-go-"));
  const path = join(folder, "s");
  let server: GoServer;
  let client: Client;
  let go: ServiceClient<typeof SHAPES>;

  before(async () => {
    server = await GoServer.start(path);
  });

  after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true });
  });

  beforeEach(async () => {
    client = await Client.connect(path, { timeoutMs: 20_000 });
    go = client.service(SERVICE, SHAPES);
  });

  afterEach(() => client.close());

  const word = async (call: Promise<{ type_url: string }>) => (await call).type_url;
  const alive = async () => assert.equal(await word(go.Echo({ type_url: "on" })), "on");

  it("unary", async () => {
    const answer = await go.Echo({ type_url: "ä", value: Buffer.from([0, 1, 255]) });
    assert.equal(answer.type_url, "ä");
    assert.deepEqual([...answer.value], [0, 1, 255]);
    assert.equal(await word(go.Echo({})), "");
  });

  it("what is not served", async () => {
    await assert.rejects(client.call(SERVICE, "Nothing", SHAPES.Echo, {}), { code: Code.UNIMPLEMENTED });
    await assert.rejects(client.call("no.Service", "Echo", SHAPES.Echo, {}), { code: Code.UNIMPLEMENTED });
  });

  it("errors, with codes and details", async () => {
    for (let code = 1; code <= 16; code += 1) {
      const thrown = await go.Fail({ type_url: String(code) }).catch((error) => error);
      assert.ok(thrown instanceof TtrpcError);
      assert.equal(thrown.code, code);
      assert.equal(thrown.message, "failed as asked");
      assert.equal(thrown.details[0]?.typeUrl, "type.googleapis.com/google.protobuf.Any");
      assert.equal(Any.decode(thrown.details[0]?.value ?? Buffer.alloc(0)).type_url, String(code));
    }
    await assert.rejects(go.Fail({ type_url: "plain" }), { code: Code.UNKNOWN, message: "plain words" });
  });

  it("deadlines", async () => {
    assert.equal(await word(go.Deadline({}, { timeoutMs: 7000 })), "7");
    assert.equal(await word(go.Deadline({}, { timeoutMs: Number.POSITIVE_INFINITY })), "none");
    const late = go.Sleep({ type_url: "60000" }, { timeoutMs: 100 });
    await assert.rejects(late, { code: Code.DEADLINE_EXCEEDED });
    await alive();
  });

  it("a deadline that the server keeps", async () => {
    const peer = new RawPeer(path);
    const request = Any.encode({ type_url: "60000" }).finish();
    peer.request(1, "Sleep", request, { service: SERVICE, timeoutNano: 50e6 });
    const { stream, code } = await peer.answer();
    assert.deepEqual([stream, code], [1, Code.DEADLINE_EXCEEDED]);
    peer.close();
  });

  it("metadata", async () => {
    const metadata = { "containerd-namespace-ttrpc": "k8s.io", Many: ["1", "2", "ä"] };
    assert.equal(await word(go.Metadata({ type_url: "many" }, { metadata })), "1,2,ä");
    assert.equal(await word(go.Metadata({ type_url: "containerd-namespace-ttrpc" }, { metadata })), "k8s.io");
    assert.equal(await word(go.Metadata({ type_url: "none" }, { metadata })), "");
  });

  it("messages of nearly 4 MiB", async () => {
    const value = Buffer.alloc(MAX_PAYLOAD_BYTES - 1024, "0123456789abcdef");
    assert.ok(value.equals((await go.Echo({ value })).value));
    assert.equal((await go.Blob({ type_url: String(value.length) })).value.length, value.length);
  });

  it("messages that are too long", async () => {
    const value = Buffer.alloc(MAX_PAYLOAD_BYTES);
    await assert.rejects(go.Echo({ value }), { code: Code.RESOURCE_EXHAUSTED });
    await alive();
    // Go's server ends the connection over an answer that it cannot send.
    await assert.rejects(go.Blob({ type_url: String(MAX_PAYLOAD_BYTES) }), { code: Code.UNAVAILABLE });
  });

  it("a frame that is too long: as our server answers it", async () => {
    const peer = new RawPeer(path);
    const frame = encodeFrame(1, 1, 0, Buffer.alloc(MAX_PAYLOAD_BYTES));
    frame.writeUInt32BE(MAX_PAYLOAD_BYTES + 1);
    peer.socket.write(Buffer.concat([frame, Buffer.alloc(1)]));
    assert.equal((await peer.answer()).code, Code.RESOURCE_EXHAUSTED);
    peer.request(3, "Echo", undefined, { service: SERVICE });
    assert.equal((await peer.answer()).code, Code.OK);
    peer.close();
  });

  it("100 calls at once", async () => {
    const calls = Array.from({ length: 100 }, (_, i) => word(go.Sleep({ type_url: String(100 + i) })));
    (await Promise.all(calls)).forEach((answer, i) => {
      assert.equal(answer, String(100 + i));
    });
  });

  it("100 calls of 1 MiB at once", async () => {
    const value = Buffer.alloc(1 << 20, "0123456789abcdef");
    const answers = await Promise.all(Array.from({ length: 100 }, () => go.Echo({ value })));
    assert.ok(answers.every((answer) => value.equals(answer.value)));
  });

  it("a stream from the client", async () => {
    const stream = go.Join();
    for (const type_url of ["a", "", "c"]) await stream.send({ type_url });
    stream.closeSend();
    assert.equal(await word(stream.response()), "a++c");
    const empty = go.Join();
    empty.closeSend();
    assert.equal(await word(empty.response()), "");
  });

  it("a stream from the server", async () => {
    const stream = go.Count();
    await stream.send({ type_url: "60" });
    const words = await all(stream);
    assert.deepEqual(
      words,
      Array.from({ length: 60 }, (_, i) => String(i + 1)),
    );
    const empty = go.Count();
    await empty.send({ type_url: "0" });
    assert.deepEqual(await all(empty), []);
  });

  it("a stream both ways", async () => {
    const chat = go.Chat();
    const words: string[] = [];
    await chat.send({ type_url: "x0" });
    for await (const { type_url } of chat) {
      words.push(type_url);
      if (words.length < 50) await chat.send({ type_url: `x${words.length}` });
      else chat.closeSend();
    }
    assert.deepEqual(
      words,
      Array.from({ length: 50 }, (_, i) => `X${i}`),
    );
  });

  it("a stream that the server ends", async () => {
    const chat = go.Chat();
    await chat.send({ type_url: "stop" });
    assert.deepEqual(await all(chat), []);
    await alive();
  });

  it("a stream that fails", async () => {
    const chat = go.Chat();
    await chat.send({ type_url: "fail" });
    await assert.rejects(all(chat), { code: Code.UNKNOWN, message: "chat failed as asked" });
    const count = go.Count();
    await count.send({ type_url: "1", value: Buffer.from("half way") });
    await assert.rejects(all(count), { code: Code.ABORTED, message: "half way" });
    await alive();
  });

  it("a stream that we leave", async () => {
    const chat = go.Chat();
    await chat.send({ type_url: "x" });
    for await (const { type_url } of chat) {
      assert.equal(type_url, "X");
      break;
    }
    await alive();
  });

  it("100 streams at once", async () => {
    const one = async () => {
      const stream = go.Count();
      await stream.send({ type_url: "20" });
      return (await all(stream)).length;
    };
    const lengths = await Promise.all(Array.from({ length: 100 }, one));
    assert.ok(lengths.every((length) => length === 20));
  });

  it("the end of the server", async () => {
    const other = join(folder, "other");
    const mortal = await GoServer.start(other);
    const caller = await Client.connect(other);
    const call = caller.call(SERVICE, "Sleep", SHAPES.Sleep, { type_url: "60000" });
    call.catch(() => {});
    await caller.call(SERVICE, "Echo", SHAPES.Echo, {});
    await mortal.stop();
    await assert.rejects(call, { code: Code.UNAVAILABLE });
  });
});

async function all(stream: AsyncIterable<{ type_url: string }>): Promise<string[]> {
  const words: string[] = [];
  for await (const { type_url } of stream) words.push(type_url);
  return words;
}
