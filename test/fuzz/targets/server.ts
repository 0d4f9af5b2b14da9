/** A server and a client that sends anything: whatever it does, others are served, and nothing of it stays. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { containerd, google } from "#protos/shim";
import { Client, FrameDecoder, Server } from "#ttrpc";
import { mutateFrames } from "../mutate-frames.js";
import { pieces } from "../pieces.js";
import { Random } from "../random.js";
import { useNodeSockets, useShimSockets } from "../sockets.js";
import type { Target } from "../target.js";
import { conversation, METHODS, SERVICE } from "./ttrpc-service.js";

const EXEC = { request: containerd.task.v2.ExecProcessRequest, response: google.protobuf.Empty };
const SPEC = { type_url: "x", value: Buffer.from("{}") };

const folder = () => mkdtempSync(join(tmpdir(), "ttrpc-fuzz-"));
let path = "";
let server: Server;
let other: Client;

export const ttrpcServer: Target = {
  name: "server",
  seeds: [conversation()],
  mutate: mutateFrames,
  covers: ["/shim/ttrpc/", "/protobufjs/", "/build/protos/", "/shim/service/"],
  async open() {
    useShimSockets();
    path = join(folder(), "s");
    server = new Server({ maxCalls: 50 });
    server.addService(SERVICE, METHODS);
    await server.listen({ path });
    other = await Client.connect(path);
  },
  async run(input) {
    const random = Random.of(input);
    const socket = createConnection(path);
    socket.on("error", () => {});
    await once(socket, "connect");
    const closed = once(socket, "close");
    const decoder = new FrameDecoder();
    const answers: { kind: string; type: number; stream: number }[] = [];
    socket.on("data", (chunk: Buffer) => answers.push(...decoder.push(chunk)));
    if (random.oneIn(4)) socket.pause();
    for (const part of pieces(random, input)) socket.write(part);
    // A moment for the answers, sometimes.
    await (random.oneIn(2) ? other.call(SERVICE, "Exec", EXEC, { spec: SPEC }) : Promise.resolve());
    if (random.oneIn(2)) socket.end();
    else socket.destroy();
    await other.call(SERVICE, "Exec", EXEC, { spec: SPEC }, { timeoutMs: 5000 });
    socket.destroy();
    await closed;
    for (let i = 0; server.connections > 1 || server.activeCalls > 0; i += 1) {
      assert.ok(i < 1000, `${server.connections} connections and ${server.activeCalls} calls are left`);
      await sleep(i < 10 ? 0 : 5);
    }
    for (const { kind, type } of answers) assert.ok(kind === "frame" && (type === 2 || type === 3));
  },
  async close() {
    useNodeSockets();
    other.close();
    await server.close(100);
    rmSync(join(path, ".."), { recursive: true });
  },
};
