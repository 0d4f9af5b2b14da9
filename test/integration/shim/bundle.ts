/** A shim with a throw-away bundle and a stand-in for containerd's event service: no containerd needed. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { containerd, google } from "#protos/shim";
import { Client, Server, unary } from "#ttrpc";
import { PATIENCE } from "../../lib/patience.js";
import { makeRootfs } from "../../lib/rootfs.js";
import { TASK_METHODS, type Task } from "../../lib/task-api.js";
import { until } from "../../lib/until.js";

const { Empty } = google.protobuf;

export { makeRootfs, type Task, until };

/** The folder with `containerd-shim-pclive-v2`. */
export const BIN = resolve(process.env.PCLIVE_BIN ?? "build/dist/bin");
const SHIM = join(BIN, "containerd-shim-pclive-v2");

export interface SeenEvent {
  readonly topic: string;
  readonly bytes: Uint8Array;
}

/** What `start` prints: an address, or more about it as JSON. */
function parseAnswer(answer: string): { address: string; version: number } {
  if (!answer.startsWith("{")) return { address: answer, version: 2 };
  return JSON.parse(answer) as { address: string; version: number };
}

/** One shim at a time, several containers one after the other. */
export class ShimBench {
  readonly folder = mkdtempSync(join(tmpdir(), "pclive-shim-"));
  readonly events: SeenEvent[] = [];
  readonly namespace = "test";
  #server = new Server();
  readonly #clients: Client[] = [];
  readonly #started: { id: string; bundle: string; shim: number }[] = [];
  readonly #shim: string;
  #count = 0;

  /** @param shim another one than ours, to compare with */
  constructor(shim: string = SHIM) {
    this.#shim = shim;
  }

  async open(): Promise<void> {
    makeRootfs(join(this.folder, "rootfs"));
    await this.serveEvents();
  }

  /** As containerd does while it is up. */
  async serveEvents(): Promise<void> {
    this.#server = new Server();
    const { ForwardRequest } = containerd.services.events.ttrpc.v1;
    this.#server.addService("containerd.services.events.ttrpc.v1.Events", {
      Forward: unary(ForwardRequest, Empty, ({ envelope }) => {
        this.events.push({ topic: envelope?.topic ?? "", bytes: envelope?.event?.value ?? new Uint8Array() });
        return {};
      }),
    });
    await this.#server.listen({ path: join(this.folder, "events.sock") });
  }

  /** As when containerd is away; the calls that are under way are answered. */
  async refuseEvents(): Promise<void> {
    await this.#server.close();
  }

  /** Takes away also what a failed test has left. */
  async close(): Promise<void> {
    for (const { id, bundle, shim } of this.#started) {
      // After a Shutdown it is on its way out.
      const gone = await until(() => !isRunning(shim, bundle), 3000).then(
        () => true,
        () => false,
      );
      if (gone) continue;
      process.kill(shim, "SIGKILL");
      this.run("delete", id, bundle);
    }
    for (const client of this.#clients) client.close();
    await this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A new bundle whose init runs `args`. */
  makeBundle(
    args: readonly string[],
    change: (spec: Spec) => void = () => {},
  ): { id: string; bundle: string } {
    const id = `c${process.pid}-${++this.#count}`;
    const bundle = join(this.folder, id);
    mkdirSync(bundle);
    execFileSync("runc", ["spec"], { cwd: bundle });
    const path = join(bundle, "config.json");
    const spec = JSON.parse(readFileSync(path, "utf8")) as Spec;
    spec.process.args = [...args];
    spec.process.terminal = false;
    spec.root.readonly = false;
    change(spec);
    writeFileSync(path, JSON.stringify(spec));
    return { id, bundle };
  }

  /** Runs an action of the shim as containerd does. */
  run(action: string, id: string, bundle: string): { stdout: Buffer; stderr: string; status: number | null } {
    const args = [
      "-namespace",
      this.namespace,
      "-address",
      join(this.folder, "c.sock"),
      "-publish-binary",
      "/bin/false",
    ];
    const { stdout, stderr, status } = spawnSync(
      this.#shim,
      [...args, "-id", id, "-bundle", bundle, action],
      {
        cwd: bundle,
        timeout: 20_000 * PATIENCE,
        env: { ...process.env, TTRPC_ADDRESS: join(this.folder, "events.sock") },
      },
    );
    return { stdout, stderr: stderr.toString(), status };
  }

  /** Starts a shim for the bundle and connects to its Task service. */
  async start(id: string, bundle: string): Promise<{ task: Task; address: string; client: Client }> {
    const { stdout, stderr, status } = this.run("start", id, bundle);
    if (status !== 0) throw new Error(`start failed: ${stderr}`);
    const { address, version } = parseAnswer(stdout.toString().trim());
    const client = await Client.connect(address.replace("unix://", ""));
    this.#clients.push(client);
    const task = client.service(`containerd.task.v${version}.Task`, TASK_METHODS);
    this.#started.push({ id, bundle, shim: (await task.Connect({ id })).shimPid });
    return { task, address, client };
  }

  rootfs(): containerd.types.Mount.$Properties[] {
    return [{ type: "bind", source: join(this.folder, "rootfs"), options: ["rbind", "rw"] }];
  }

  topics(): string[] {
    return this.events.map(({ topic }) => topic);
  }
}

/** True while the shim of this bundle has this pid. */
function isRunning(shim: number, bundle: string): boolean {
  try {
    return readlinkSync(`/proc/${shim}/cwd`) === bundle;
  } catch {
    return false;
  }
}

export interface Spec {
  process: { args: string[]; terminal: boolean };
  root: { readonly: boolean };
  linux: { namespaces: { type: string; path?: string }[]; resources?: unknown };
  annotations?: Record<string, string>;
}
