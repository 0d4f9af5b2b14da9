/** A shim binary, called as containerd calls it. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { containerd } from "#protos/bootstrap";
import { Client } from "#ttrpc";
import { PATIENCE } from "../lib/patience.js";
import { TASK_METHODS, type Task } from "../lib/task-api.js";

const { BootstrapResult } = containerd.runtime.bootstrap.v1;

export interface Candidate {
  readonly name: "stock" | "ours";
  readonly binary: string;
  /** Of the Task service: 2, or 3 where the stock shim has no other. */
  readonly version: 2 | 3;
}

export interface Invocation {
  readonly bundle: string;
  readonly namespace: string;
  readonly id: string;
  /** Folder of this row: containerd's sockets are in it. */
  readonly folder: string;
}

export interface Answer {
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const CRIU = "/usr/local/lib/pclive/criu";
const COMMAND_MS = 20_000 * PATIENCE;
const CALL_MS = 20_000 * PATIENCE;

/** Runs an action; `before` are further flags. */
export function runAction(
  candidate: Candidate,
  call: Invocation,
  action: string,
  before: readonly string[] = [],
  input: Uint8Array = new Uint8Array(),
): Promise<Answer> {
  const { bundle, namespace, id, folder } = call;
  const flags = [
    "-namespace",
    namespace,
    "-address",
    join(folder, "c.sock"),
    "-publish-binary",
    "/bin/false",
  ];
  const args = [...flags, "-id", id, ...(action === "delete" ? ["-bundle", bundle] : []), ...before, action];
  const [events, api] = [join(folder, "events.sock"), join(folder, "c.sock")];
  return runBinary(candidate, args, { cwd: bundle, events, api, namespace, input });
}

export function runBinary(
  candidate: Candidate,
  args: readonly string[],
  at: { cwd: string; events?: string; api?: string; namespace?: string; input?: Uint8Array },
): Promise<Answer> {
  const env = {
    // CRIU for both.
    PATH: `${CRIU}:${process.env.PATH}`,
    TTRPC_ADDRESS: at.events,
    GRPC_ADDRESS: at.api,
    NAMESPACE: at.namespace,
    MAX_SHIM_VERSION: "2",
    GOMAXPROCS: "2",
  };
  return new Promise((resolve, reject) => {
    const child = spawn(candidate.binary, [...args], { cwd: at.cwd, env, detached: true });
    const [stdout, stderr]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    child.stdin.on("error", () => {}); // it need not read its input
    child.stdin.end(at.input ?? new Uint8Array());
    const timer = setTimeout(() => child.kill("SIGKILL"), COMMAND_MS);
    child.once("error", reject);
    child.once("close", (code) => {
      clearTimeout(timer);
      resolve({
        status: code ?? 255,
        stdout: Buffer.concat(stdout),
        stderr: Buffer.concat(stderr).toString(),
      });
    });
  });
}

/** What `start` printed, as containerd reads it. */
export interface Started {
  readonly form: "plain" | "JSON" | "protobuf";
  readonly version: number;
  readonly protocol: string;
  readonly address: string;
}

/** Plain, in JSON since containerd 2.0, a message since 2.3. */
export function startedBy(stdout: Buffer): Started {
  const text = stdout.toString().trim();
  if (/^[a-z]+:/.test(text)) return { form: "plain", version: 2, protocol: "ttrpc", address: text };
  if (text.startsWith("{")) return { form: "JSON", ...(JSON.parse(text) as Omit<Started, "form">) };
  const { version, protocol, address } = BootstrapResult.decode(stdout);
  return { form: "protobuf", version, protocol, address };
}

export function addressOf(stdout: Buffer): string {
  return startedBy(stdout).address;
}

export interface Connected {
  readonly client: Client;
  readonly task: Task;
  readonly service: string;
}

export async function connectTo(candidate: Candidate, address: string): Promise<Connected> {
  const client = await Client.connect(address.replace("unix://", ""), { timeoutMs: CALL_MS });
  const service = `containerd.task.v${candidate.version}.Task`;
  return { client, service, task: client.service(service, TASK_METHODS) };
}
