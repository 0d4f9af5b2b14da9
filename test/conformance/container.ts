/** One container of a row: every call is made, and its outcome becomes a line of the record. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { containerd, google } from "#protos/shim";
import { type Encodable, TtrpcError } from "#ttrpc";
import { PATIENCE } from "../lib/patience.js";
import type { TASK_METHODS, Task } from "../lib/task-api.js";
import { codeOf, type Record } from "./record.js";
import type { Connected } from "./shim.js";

/** How a call is recorded. */
export interface As {
  /** Instead of the call's own name. */
  readonly as?: string;
  /** What the message of an error must tell; both shims shall. */
  readonly says?: RegExp;
}

type Methods = typeof TASK_METHODS;
type Request<N extends keyof Methods> = Encodable<Methods[N]["request"]>;
type Stdio = { stdin?: string; stdout?: string; stderr?: string; terminal?: boolean };

const BLOCKED_MS = 400 * PATIENCE;

export class Container {
  #deleted = false;

  constructor(
    readonly name: string,
    readonly id: string,
    readonly bundle: string,
    readonly shim: Connected,
    readonly record: Record,
    readonly rootfs: containerd.types.Mount.$Properties[],
    /** The runtime options of a Create that names none of its own. */
    readonly options?: google.protobuf.Any.$Properties,
    /** What is waited for after the end of a process, so that nothing overtakes it. */
    readonly toldEnd: (id: string) => Promise<void> = async () => {},
  ) {}

  get deleted(): boolean {
    return this.#deleted;
  }

  markDeleted(): void {
    this.#deleted = true;
  }

  /** A call of the Task service. @returns the answer; undefined after an error, which is recorded */
  async call<N extends keyof Methods>(name: N, request: Request<N>, how: As = {}) {
    const label = labelOf(this.name, name, request as { execId?: string });
    const line = this.record.open(how.as ?? this.record.mask(label));
    const logged = sizeOf(this.#log());
    try {
      const answer = await (this.shim.task[name] as (request: unknown) => Promise<object>)(request);
      this.#learn(name, request as { execId?: string }, answer as { pid?: number });
      line.outcome = this.record.describe(answer);
      return answer as Awaited<ReturnType<Task[N]>>;
    } catch (error) {
      line.detail = error instanceof Error ? this.record.mask(error.message) : String(error);
      line.outcome = [codeOf(error), ...this.#told(error, logged, how)].join(", ");
      return undefined;
    }
  }

  create(request: Partial<Request<"Create">> = {}, how?: As) {
    const { id, bundle, rootfs, options } = this;
    const ordinary = { id, bundle, rootfs, ...(options ? { options } : {}) };
    return this.call("Create", { ...ordinary, ...request }, how);
  }
  start(execId = "", how?: As) {
    return this.call("Start", { id: this.id, execId }, how);
  }
  state(execId = "", how?: As) {
    return this.call("State", { id: this.id, execId }, how);
  }
  kill(signal: number, execId = "", how?: As) {
    return this.call("Kill", { id: this.id, execId, signal }, how);
  }
  killAll(signal: number, how?: As) {
    return this.call("Kill", { id: this.id, signal, all: true }, how);
  }
  async wait(execId = "", how?: As) {
    const answer = await this.call("Wait", { id: this.id, execId }, how);
    if (answer) await this.toldEnd(execId || this.id);
    return answer;
  }
  delete(execId = "", how?: As) {
    return this.call("Delete", { id: this.id, execId }, how);
  }
  pause(how?: As) {
    return this.call("Pause", { id: this.id }, how);
  }
  resume(how?: As) {
    return this.call("Resume", { id: this.id }, how);
  }
  shutdown(how?: As) {
    return this.call("Shutdown", { id: this.id }, how);
  }
  stats(how?: As) {
    return this.call("Stats", { id: this.id }, how);
  }
  resize(width: number, height: number, execId = "", how?: As) {
    return this.call("ResizePty", { id: this.id, execId, width, height }, how);
  }
  closeStdin(execId = "", how?: As) {
    return this.call("CloseIO", { id: this.id, execId, stdin: true }, how);
  }
  update(resources: string, how?: As) {
    const type_url = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";
    return this.call("Update", { id: this.id, resources: { type_url, value: Buffer.from(resources) } }, how);
  }
  /** @param process its arguments, or a whole OCI process, or the raw text of one */
  exec(execId: string, process: readonly string[] | object | string, stdio: Stdio = {}, how?: As) {
    const spec = {
      cwd: "/",
      env: ["PATH=/bin"],
      user: { uid: 0, gid: 0 },
      terminal: stdio.terminal ?? false,
    };
    const value = Array.isArray(process) ? { ...spec, args: process } : process;
    const text = typeof value === "string" ? value : JSON.stringify(value);
    const type_url = "types.containerd.io/opencontainers/runtime-spec/1/Process";
    const any = { type_url, value: Buffer.from(text) };
    return this.call("Exec", { id: this.id, execId, ...stdio, spec: any }, how);
  }
  /** The processes by name: "c1" for init, "c1/e" for an exec. */
  async pids(how: As = {}) {
    const line = this.record.open(how.as ?? `${this.name} Pids`);
    try {
      const { processes } = await this.shim.task.Pids({ id: this.id });
      line.outcome = processes
        .map((each) => this.record.describe({ pid: each.pid, info: each.info }))
        .sort()
        .join("; ");
    } catch (error) {
      line.outcome = codeOf(error);
    }
  }

  /** Records whether a call is still without an answer after a moment. */
  async blocked(label: string, call: Promise<unknown>): Promise<void> {
    const line = this.record.open(label);
    const late = new Promise((resolve) => setTimeout(() => resolve("waits"), BLOCKED_MS));
    line.outcome = String(
      await Promise.race([
        late,
        call.then(
          () => "answers",
          () => "answers",
        ),
      ]),
    );
  }

  #learn(method: string, request: { execId?: string }, answer: { pid?: number }): void {
    if (method === "Delete" && !request.execId) this.markDeleted();
    if ((method !== "Create" && method !== "Start") || answer.pid === undefined) return;
    this.record.namePid(
      answer.pid,
      request.execId ? this.record.mask(`${this.name}/${request.execId}`) : this.name,
    );
  }

  #log(): string {
    return join(this.bundle, "log.json");
  }

  /** Whether an error tells what it must: runC's own last word, if runC said something, and `says`. */
  #told(error: unknown, logged: number, { says }: As): string[] {
    const message = error instanceof TtrpcError ? error.message : "";
    // With another code the code itself is the reason that counts.
    const reason = codeOf(error) === "UNKNOWN" ? runcReason(this.#log(), logged) : undefined;
    return [
      ...(reason === undefined || message.includes(reason) ? [] : ["hides runC's reason"]),
      ...(says === undefined ? [] : [`${says.test(message) ? "says" : "does not say"} ${says}`]),
    ];
  }
}

function labelOf(container: string, method: string, { execId }: { execId?: string }): string {
  return `${container}${execId ? `/${execId}` : ""} ${method}`;
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

/** The last error in runC's log after byte `from`. */
function runcReason(path: string, from: number): string | undefined {
  if (!existsSync(path)) return undefined;
  const lines = readFileSync(path).subarray(from).toString().trim().split("\n").reverse();
  for (const line of lines) {
    if (!line.startsWith("{")) continue;
    const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
    if (level === "error") return msg?.trim();
  }
  return undefined;
}
