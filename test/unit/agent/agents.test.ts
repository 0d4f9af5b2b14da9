import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { Client, credentials } from "@grpc/grpc-js";
import pino from "pino";
import { type RunningAgent, startAgent } from "../../../runtime/agent/agent.js";
import { parseConfig } from "../../../runtime/agent/config.js";
import type { AgentError } from "../../../runtime/agent/errors.js";
import { call, duplex, serverStream } from "../../../runtime/agent/grpc/method.js";
import { agentRpc, peerRpc } from "../../../runtime/agent/grpc/services.js";
import { Peer } from "../../../runtime/agent/peer.js";
import { PROTOCOL } from "../../../runtime/agent/system.js";
import { makeCertificates } from "../../../runtime/certs/index.js";

/** Two agents in one process, with real certificates and sockets; nobody is at containerd's address. */
describe("two agents", () => {
  const root = mkdtempSync(join(tmpdir(), "pclive-agents-"));
  let a: RunningAgent;
  let b: RunningAgent;

  async function start(host: string, authority: string, port: number): Promise<RunningAgent> {
    const tls = join(root, authority, host);
    const config = parseConfig(
      JSON.stringify({
        host,
        listen: { host: "127.0.0.1", port },
        tls: { ca: join(tls, "ca.crt"), cert: join(tls, "host.crt"), key: join(tls, "host.key") },
        containerd: { address: join(root, "nobody.sock") },
        stateDir: join(root, `state-${host}-${authority}`),
        runDir: join(root, `run-${host}-${authority}`),
      }),
      "test",
    );
    return startAgent(config, pino({ level: "silent" }));
  }

  const addressOf = (agent: RunningAgent, name: string) => ({ name, host: "127.0.0.1", port: agent.port });

  before(async function () {
    this.timeout(20_000);
    await makeCertificates(join(root, "ours"), ["a=127.0.0.1", "b=127.0.0.1"], 2);
    await makeCertificates(join(root, "theirs"), ["a=127.0.0.1"], 2);
    a = await start("a", "ours", 27_421);
    b = await start("b", "ours", 27_422);
  });

  after(async () => {
    await Promise.all([a?.stop(), b?.stop()]);
    rmSync(root, { recursive: true, force: true });
  });

  it("know each other by certificate", async () => {
    const peer = new Peer(a.context, addressOf(b, "b"));
    await peer.ready(5000);
    peer.close();
  });

  it("refuse another name, another authority, older TLS and plaintext", async function () {
    this.timeout(20_000);
    const wrongName = new Peer(a.context, addressOf(b, "elsewhere"));
    await assert.rejects(
      wrongName.ready(3000),
      (error: AgentError) => error.code === "PEER_UNREACHABLE" && /certificate/.test(error.remedy),
    );
    wrongName.close();

    const stranger = await start("a", "theirs", 27_423);
    const peer = new Peer(stranger.context, addressOf(b, "b"));
    await assert.rejects(peer.ready(3000), (error: AgentError) => error.code === "PEER_UNREACHABLE");
    peer.close();
    await stranger.stop();

    const { ca, cert, key } = a.context.identity;
    await assert.rejects(
      new Promise((resolve, reject) => {
        const socket = connect(
          {
            host: "127.0.0.1",
            port: b.port,
            servername: "b",
            ca,
            cert,
            key,
            minVersion: "TLSv1.2",
            maxVersion: "TLSv1.2",
          },
          () => resolve(undefined),
        );
        socket.on("error", reject);
      }),
    );
    const plain = new Client(`127.0.0.1:${b.port}`, credentials.createInsecure());
    await assert.rejects(call(plain, peerRpc.settle, { migration: "0".repeat(32) }, { timeoutMs: 1500 }));
    plain.close();
  });

  it("answer malformed messages with one clear refusal", async () => {
    const peer = new Peer(a.context, addressOf(b, "b"));
    const version = {
      protocol: PROTOCOL,
      pclive: "0",
      arch: process.arch === "x64" ? "x86_64" : "aarch64",
      kernel: "6",
      host: "a",
    };
    const migration = "ab".repeat(16);
    const cases = [
      [
        {
          open: {
            version: { ...version, protocol: 9 },
            migration,
            strategy: "pipelined",
            manifestJson: "{}",
          },
        },
        /version 9/,
      ],
      [
        {
          open: {
            version: { ...version, arch: "pdp11" },
            migration,
            strategy: "pipelined",
            manifestJson: "{}",
          },
        },
        /pdp11/,
      ],
      [
        {
          open: { version: { ...version, host: "b" }, migration, strategy: "pipelined", manifestJson: "{}" },
        },
        /certificate/,
      ],
      [{ open: { version, migration, strategy: "pipelined", manifestJson: "{" } }, /not JSON/],
      [{ open: { version, migration: "../../etc", strategy: "pipelined", manifestJson: "{}" } }, /./],
      [{ open: { version, migration, strategy: "teleport", manifestJson: "{}" } }, /./],
      [{ rootfsDiff: { end: true } }, /files came before/],
      [{}, /unknown kind/],
    ] as const;
    for (const [message, pattern] of cases) {
      const stream = duplex(peer.client, peerRpc.migrate, { timeoutMs: 5000 });
      stream.write(message);
      const answers: unknown[] = [];
      for await (const answer of stream)
        answers.push((answer as { refused?: { message: string } }).refused?.message);
      assert.equal(answers.length, 1, JSON.stringify(message));
      assert.match(String(answers[0]), pattern);
    }
    await assert.rejects(peer.call(peerRpc.settle, { migration: "x", decision: "ask" }), /32 lower-case/);
    assert.equal((await peer.call(peerRpc.settle, { migration, decision: "committed" })).state, "unknown");
    peer.close();
  });

  it("serve the command at a socket of root's own, and say what is wrong", async () => {
    assert.equal(statSync(a.socket).mode & 0o777, 0o600);
    const client = new Client(`unix://${a.socket}`, credentials.createInsecure());
    const status = await call(client, agentRpc.status, {});
    assert.equal(status.host, "a");
    await assert.rejects(call(client, agentRpc.cancel, { container: "x" }), (error: { details?: string }) =>
      /no migration of x/.test(error.details ?? ""),
    );
    const events: { failure?: { code: string; message: string } | null }[] = [];
    for await (const event of serverStream(client, agentRpc.migrate, { container: "x", host: "b" }))
      events.push(event);
    assert.equal(events.at(-1)?.failure?.code, "CONTAINERD");
    assert.match(events.at(-1)?.failure?.message ?? "", /containerd does not answer/);
    client.close();
  });
});

describe("certificates", () => {
  it("carry names and addresses, keep the authority, and refuse nonsense", async function () {
    this.timeout(20_000);
    const out = mkdtempSync(join(tmpdir(), "pclive-certs-"));
    try {
      const first = await makeCertificates(out, ["a=10.0.0.1,fd00::1"], 3);
      assert.ok(first.includes(join(out, "a", "host.key")));
      assert.equal(statSync(join(out, "a", "host.key")).mode & 0o777, 0o600);
      const text = execFileSync("openssl", ["x509", "-noout", "-text", "-in", join(out, "a", "host.crt")], {
        encoding: "utf8",
      });
      assert.match(text, /DNS:a, IP Address:10\.0\.0\.1, IP Address:FD00/);
      assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
      const ca = readFileSync(join(out, "ca.crt"));
      await makeCertificates(out, ["b"], 3);
      assert.deepEqual(readFileSync(join(out, "ca.crt")), ca);
      execFileSync("openssl", ["verify", "-CAfile", join(out, "ca.crt"), join(out, "b", "host.crt")]);
      for (const bad of ["../x", "a b", "x=nonsense address", ""])
        await assert.rejects(makeCertificates(out, [bad], 3));
      await assert.rejects(makeCertificates(out, ["c"], 0), /days/);
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  });
});
