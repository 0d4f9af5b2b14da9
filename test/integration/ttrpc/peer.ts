/** The Go program of test/programs/ttrpc-peer, and our half of what it speaks. */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { google } from "#protos/shim";
import { type Methods, streaming, TtrpcError, unary } from "#ttrpc";

export const SERVICE = "interop.v1.Interop";
const PROGRAM = resolve("build/test/ttrpc-peer");
const SCENARIO_MS = 30_000;

export const { Any } = google.protobuf;
const message = { request: Any, response: Any };

/** The service as a client sees it. Every message is an Any: a word (the type url) and bytes. */
export const SHAPES = {
  Echo: message,
  Blob: message,
  Fail: message,
  Sleep: message,
  Metadata: message,
  Deadline: message,
  Join: { ...message, stream: "client" },
  Count: { ...message, stream: "server" },
  Chat: { ...message, stream: "both" },
} as const;

/** The same service as the Go program serves. */
export const METHODS: Methods = {
  Echo: unary(Any, Any, (request) => request),
  Blob: unary(Any, Any, ({ type_url }) => ({ value: Buffer.alloc(Number(type_url), 7) })),
  Fail: unary(Any, Any, (request) => {
    const code = Number(request.type_url);
    if (Number.isNaN(code)) throw new Error("plain words");
    const detail = {
      typeUrl: "type.googleapis.com/google.protobuf.Any",
      value: Any.encode(request).finish(),
    };
    throw new TtrpcError(code, "failed as asked", { details: [detail] });
  }),
  Sleep: unary(Any, Any, async (request, { signal }) => {
    await sleep(Number(request.type_url), undefined, { signal });
    return request;
  }),
  Metadata: unary(Any, Any, ({ type_url }, { metadata }) => ({
    type_url: (metadata.get(type_url) ?? []).join(","),
  })),
  Deadline: unary(Any, Any, (_request, { deadline }) => ({
    type_url: deadline === undefined ? "none" : String(Math.round((deadline - Date.now()) / 1000)),
  })),
  Join: streaming("client", Any, Any, async (stream) => {
    const words: string[] = [];
    for await (const { type_url } of stream) words.push(type_url);
    return { type_url: words.join("+") };
  }),
  Count: streaming("server", Any, Any, async (stream) => {
    for await (const { type_url, value } of stream) {
      for (let i = 1; i <= Number(type_url); i += 1) await stream.send({ type_url: String(i) });
      if (value.length > 0) throw new TtrpcError(10, Buffer.from(value).toString());
    }
  }),
  Chat: streaming("both", Any, Any, async (stream) => {
    for await (const { type_url, value } of stream) {
      if (type_url === "stop") return;
      if (type_url === "fail") throw new Error("chat failed as asked");
      await stream.send({ type_url: type_url.toUpperCase(), value });
    }
  }),
};

/** Builds the program, if need be, and names what it can do as a client. */
export function scenarios(): string[] {
  execFileSync("make", ["-s", "build/test/ttrpc-peer"], { stdio: "inherit", timeout: 500_000 });
  return execFileSync(PROGRAM, ["list"], { encoding: "utf8" }).trim().split("\n");
}

/** Rejects with what the program found wrong. */
export async function play(socket: string, scenario: string): Promise<void> {
  await promisify(execFile)(PROGRAM, ["client", socket, scenario], { timeout: SCENARIO_MS });
}

export class GoServer {
  private constructor(readonly process: ChildProcess) {}

  static async start(socket: string): Promise<GoServer> {
    const child = spawn(PROGRAM, ["server", socket], { stdio: ["pipe", "pipe", "ignore"] });
    const ready = once(child.stdout, "data");
    const gone = once(child, "exit").then(() => Promise.reject(new Error("the Go server has ended")));
    gone.catch(() => {});
    await Promise.race([ready, gone]);
    return new GoServer(child);
  }

  async stop(): Promise<void> {
    const exited = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await exited;
  }
}
