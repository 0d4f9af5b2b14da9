/** A client and a server that answers anything: every call ends. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { google } from "#protos/shim";
import { Client, encodeFrame, TtrpcError } from "#ttrpc";
import { encodeResponse } from "../../../shim/ttrpc/wire.js";
import { mutateFrames } from "../mutate-frames.js";
import { pieces } from "../pieces.js";
import { Random } from "../random.js";
import { useNodeSockets, useShimSockets } from "../sockets.js";
import type { Target } from "../target.js";

const { Any } = google.protobuf;
const shape = { request: Any, response: Any };

let path = "";
let server: Server;
let answer: Buffer;

export const ttrpcClient: Target = {
  name: "client",
  seeds: [answers()],
  mutate: mutateFrames,
  covers: ["/shim/ttrpc/", "/protobufjs/"],
  async open() {
    useShimSockets();
    path = join(mkdtempSync(join(tmpdir(), "ttrpc-fuzz-")), "s");
    server = createServer((socket) => {
      socket.on("error", () => {});
      // Not before the last of the four calls.
      socket.once("data", () => {
        for (const part of pieces(Random.of(answer), answer)) socket.write(part);
        socket.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
  },
  async run(input) {
    answer = input;
    const client = await Client.connect(path, { timeoutMs: 10_000, maxQueuedBytes: 1 << 20 });
    const call = client.call("x.Y", "Call", shape, { type_url: "a" });
    const sum = client.stream("x.Y", "Sum", { ...shape, stream: "client" });
    const count = client.stream("x.Y", "Count", { ...shape, stream: "server" });
    const chat = client.stream("x.Y", "Chat", { ...shape, stream: "both" });
    const ends = await Promise.allSettled([
      call,
      sum.response(),
      count.send({}).then(() => drain(count)),
      chat.send({}).then(() => drain(chat)),
    ]);
    client.close();
    for (const end of ends)
      if (end.status === "rejected") assert.ok(end.reason instanceof TtrpcError, end.reason);
  },
  async close() {
    useNodeSockets();
    await new Promise((resolve) => server.close(resolve));
    rmSync(join(path, ".."), { recursive: true });
  },
};

async function drain(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream);
}

/** What a proper server would say to the four calls. */
function answers(): Buffer {
  const payload = Any.encode({ type_url: "a", value: Buffer.from("b") }).finish();
  const details = [{ typeUrl: "d", value: Buffer.from("e") }];
  return Buffer.concat([
    encodeFrame(5, 3, 0, payload),
    encodeFrame(7, 3, 0, payload),
    encodeFrame(1, 2, 0, encodeResponse({ code: 0, message: "", details: [], payload })),
    encodeFrame(
      3,
      2,
      0,
      encodeResponse({ code: 5, message: "not there", details, payload: Buffer.alloc(0) }),
    ),
    encodeFrame(5, 3, 1, payload),
    encodeFrame(7, 3, 5, Buffer.alloc(0)),
  ]);
}
