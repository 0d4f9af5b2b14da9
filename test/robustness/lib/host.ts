/** Containers on this host, through containerd's API. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Containerd, isNotFound, type Namespace, unless } from "../../../runtime/agent/containerd/client.js";
import { rpc } from "../../../runtime/agent/containerd/methods.js";
import { makeRootfs } from "../../integration/shim/bundle.js";
import { SOCKET } from "./daemon.js";
import { rpc as more } from "./methods.js";
import { until } from "./wait.js";

export const RUNTIME = process.env.ROBUST_RUNTIME ?? "io.containerd.pclive.v2";
export const NAMESPACE = "robust";
/** Bundles are here, one folder a container. */
export const BUNDLES = `/run/containerd/io.containerd.runtime.v2.task/${NAMESPACE}`;
const CALL_MS = 60_000;
/** From a SIGKILL until its effect has been reported. */
const END_MS = 15_000;
const SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Spec";
const PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process";

export interface Stdio {
  readonly stdin?: string;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly terminal?: boolean;
}

export interface Wish {
  readonly args: readonly string[];
  readonly group?: string;
  readonly stdio?: Stdio;
  /** Arguments for the spec that have no field here. */
  readonly change?: (spec: Spec) => void;
  readonly runtime?: string;
}

export interface Spec {
  process: { args: string[]; terminal: boolean };
  root: { path: string; readonly: boolean };
  linux: {
    cgroupsPath?: string;
    namespaces: { type: string; path?: string }[];
    resources?: unknown;
    maskedPaths?: string[];
    readonlyPaths?: string[];
  };
  mounts: { destination: string; type: string; source: string; options?: string[] }[];
  annotations?: Record<string, string>;
}

/** Ended, deleted, or on its way out together with its shim. */
function isGone(error: unknown): boolean {
  return isNotFound(error) || (error instanceof Error && /ttrpc: closed|not found/.test(error.message));
}

/** One connection and one root file system, that all containers share. */
export class Host {
  readonly folder: string;
  readonly containerd = new Containerd(SOCKET);
  readonly ns: Namespace = this.containerd.namespace(NAMESPACE);
  readonly #spec: string;

  constructor() {
    mkdirSync("/run/robust", { recursive: true });
    this.folder = mkdtempSync("/run/robust/");
    makeRootfs(join(this.folder, "rootfs"));
    execFileSync("runc", ["spec"], { cwd: this.folder });
    this.#spec = readFileSync(join(this.folder, "config.json"), "utf8");
  }

  async open(): Promise<void> {
    await this.containerd.ensureNamespace(NAMESPACE);
    await this.clear();
  }

  /** Resolves when containerd serves us again after its restart. */
  async answers(): Promise<void> {
    await until("containerd's API answers", () =>
      this.tasks().then(
        () => true,
        () => false,
      ),
    );
  }

  close(): void {
    this.containerd.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  spec(id: string, wish: Wish): Spec {
    const spec = JSON.parse(this.#spec) as Spec;
    spec.process.args = [...wish.args];
    spec.process.terminal = wish.stdio?.terminal ?? false;
    spec.root = { path: "rootfs", readonly: true };
    spec.linux.cgroupsPath = `/${NAMESPACE}/${id}`;
    if (wish.group) spec.annotations = { "io.containerd.runc.v2.group": wish.group };
    wish.change?.(spec);
    return spec;
  }

  /** The container's record only. */
  async define(id: string, wish: Wish): Promise<void> {
    const value = Buffer.from(JSON.stringify(this.spec(id, wish)));
    const runtime = { name: wish.runtime ?? RUNTIME };
    await this.ns.call(rpc.containers.create, {
      container: { id, runtime, spec: { type_url: SPEC, value } },
    });
  }

  /** @returns init's pid */
  async createTask(id: string, stdio: Stdio = {}): Promise<number> {
    const source = join(this.folder, "rootfs");
    const rootfs = [{ type: "bind", source, options: ["rbind", "ro"] }];
    const request = { containerId: id, rootfs, ...stdio };
    return (await this.ns.call(rpc.tasks.create, request, { timeoutMs: CALL_MS })).pid;
  }

  async start(id: string, execId = ""): Promise<number> {
    return (await this.ns.call(rpc.tasks.start, { containerId: id, execId }, { timeoutMs: CALL_MS })).pid;
  }

  /** Defined, created and started. @returns init's pid */
  async run(id: string, wish: Wish): Promise<number> {
    await this.define(id, wish);
    const pid = await this.createTask(id, wish.stdio);
    await this.start(id);
    return pid;
  }

  /** The shim that has started this process: its parent, as a subreaper. */
  shimOf(pid: number): number {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  }

  /** Registered and started. @returns its pid */
  async exec(id: string, execId: string, args: readonly string[], stdio: Stdio = {}): Promise<number> {
    await this.addExec(id, execId, args, stdio);
    return this.start(id, execId);
  }

  async addExec(id: string, execId: string, args: readonly string[], stdio: Stdio = {}): Promise<void> {
    const process = { ...this.spec(id, { args: [] }).process, args, terminal: stdio.terminal ?? false };
    const spec = { type_url: PROCESS, value: Buffer.from(JSON.stringify(process)) };
    await this.ns.call(more.exec, { containerId: id, execId, spec, ...stdio });
  }

  async wait(id: string, execId = "", timeoutMs = CALL_MS): Promise<number> {
    return (await this.ns.call(rpc.tasks.wait, { containerId: id, execId }, { timeoutMs })).exitStatus;
  }

  async kill(id: string, signal = 9): Promise<void> {
    await this.ns.call(rpc.tasks.kill, { containerId: id, signal });
  }

  async closeStdin(id: string): Promise<void> {
    await this.ns.call(more.closeIo, { containerId: id, stdin: true });
  }

  async checkpoint(id: string): Promise<void> {
    await this.ns.call(more.checkpoint, { containerId: id }, { timeoutMs: CALL_MS });
  }

  /** containerd's word for it; undefined without a task. */
  async status(id: string): Promise<number | undefined> {
    return (await this.#task(id))?.status;
  }

  /** Init's pid; undefined without a task. */
  async pid(id: string): Promise<number | undefined> {
    return (await this.#task(id))?.pid;
  }

  async #task(id: string): Promise<{ status: number; pid: number } | undefined> {
    try {
      const { process } = await this.ns.call(rpc.tasks.get, { containerId: id });
      return { status: process?.status ?? 0, pid: process?.pid ?? 0 };
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  /** Ids of all tasks that containerd knows. */
  async tasks(): Promise<string[]> {
    return (await this.ns.call(more.list, {})).tasks.map((task) => task.id ?? "");
  }

  async deleteExec(id: string, execId: string): Promise<number> {
    return (await this.ns.call(more.deleteProcess, { containerId: id, execId })).exitStatus;
  }

  /** @returns the exit status */
  async deleteTask(id: string): Promise<number> {
    return (await this.ns.call(rpc.tasks.delete, { containerId: id }, { timeoutMs: CALL_MS })).exitStatus;
  }

  async forget(id: string): Promise<void> {
    await this.ns.call(rpc.containers.delete, { id }).catch(unless(isNotFound));
  }

  /** Takes away what a failed test has left. */
  async clear(): Promise<void> {
    const { containers } = await this.ns.call(rpc.containers.list, {});
    for (const { id } of containers) await this.remove(id ?? "");
  }

  /** Whatever state it is in. */
  async remove(id: string): Promise<void> {
    if ((await this.status(id)) !== undefined) {
      await this.kill(id).catch(unless(isGone));
      await this.wait(id, "", END_MS).catch(unless(isGone));
      await this.deleteTask(id).catch(unless(isGone));
    }
    await this.forget(id);
  }
}
