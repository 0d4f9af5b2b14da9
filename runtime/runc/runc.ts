/** A typed driver of the runC command line: one method a command. */
import type { CommandEnd, RunCommand } from "./command.js";
import { failureOf, RuncError, reasonOf } from "./errors.js";
import { lastError, logSize } from "./log.js";
import {
  type CallOptions,
  type CheckpointOptions,
  type CreateOptions,
  checkpointArgs,
  createArgs,
  type DeleteOptions,
  type ExecOptions,
  execArgs,
  type KillOptions,
  type RestoreOptions,
  restoreArgs,
  type Stdio,
} from "./options.js";
import {
  parseFeatures,
  parseList,
  parsePids,
  parseState,
  type RuncFeatures,
  type RuncState,
} from "./results.js";
import { isTooOld, versionIn } from "./version.js";

/** Commands that answer at once. */
const QUICK_MS = 30_000;
/** Commands that start a process: hooks, cgroups and slow disks take their time. */
const START_MS = 120_000;
/** Commands that write or read a memory image. */
const IMAGE_MS = 600_000;

export interface RuncConfig {
  /** Path or name of the binary; default `runc`. */
  readonly binary?: string;
  /** Where runC keeps its state. */
  readonly root: string;
  /** runC's JSON log, appended to; its last error becomes the message of a failed command. */
  readonly log: string;
  /** Default: this process's environment. */
  readonly env?: NodeJS.ProcessEnv;
  readonly systemdCgroup?: boolean;
  readonly debug?: boolean;
  /** What runs the commands; default: Node. */
  readonly run?: RunCommand;
}

interface Call extends CallOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly defaultMs: number;
  readonly stdio?: Stdio;
  readonly input?: string;
}

/** Every method rejects with a `RuncError`. One instance may run several commands at a time. */
export class Runc {
  readonly #config: RuncConfig;

  constructor(config: RuncConfig) {
    this.#config = config;
  }

  get root(): string {
    return this.#config.root;
  }

  /** The same driver with more environment, e.g. `PCLIVE_SOCKET`. */
  withEnv(env: NodeJS.ProcessEnv): Runc {
    return new Runc({ ...this.#config, env: { ...this.#env(), ...env } });
  }

  async create(id: string, options: CreateOptions): Promise<void> {
    await this.#call({ ...options, command: "create", args: createArgs(id, options), defaultMs: START_MS });
  }

  async start(id: string, options: CallOptions = {}): Promise<void> {
    await this.#call({ ...options, command: "start", args: [id], defaultMs: START_MS });
  }

  /** Starts a detached process; its pid is in the pid file afterwards. */
  async exec(id: string, options: ExecOptions): Promise<void> {
    await this.#call({ ...options, command: "exec", args: execArgs(id, options), defaultMs: START_MS });
  }

  async kill(id: string, signal: number, options: KillOptions = {}): Promise<void> {
    const args = [...(options.all ? ["--all"] : []), id, String(signal)];
    await this.#call({ ...options, command: "kill", args, defaultMs: QUICK_MS });
  }

  async delete(id: string, options: DeleteOptions = {}): Promise<void> {
    const args = [...(options.force ? ["--force"] : []), id];
    await this.#call({ ...options, command: "delete", args, defaultMs: QUICK_MS });
  }

  async pause(id: string, options: CallOptions = {}): Promise<void> {
    await this.#call({ ...options, command: "pause", args: [id], defaultMs: QUICK_MS });
  }

  async resume(id: string, options: CallOptions = {}): Promise<void> {
    await this.#call({ ...options, command: "resume", args: [id], defaultMs: QUICK_MS });
  }

  /** @param resources OCI linux resources, JSON */
  async update(id: string, resources: string, options: CallOptions = {}): Promise<void> {
    const args = ["--resources", "-", id];
    await this.#call({ ...options, command: "update", args, input: resources, defaultMs: QUICK_MS });
  }

  async checkpoint(id: string, options: CheckpointOptions): Promise<void> {
    const args = checkpointArgs(id, options);
    await this.#call({ ...options, command: "checkpoint", args, defaultMs: IMAGE_MS });
  }

  /** Resolves when everything is restored and runs. */
  async restore(id: string, options: RestoreOptions): Promise<void> {
    await this.#call({ ...options, command: "restore", args: restoreArgs(id, options), defaultMs: IMAGE_MS });
  }

  async state(id: string, options: CallOptions = {}): Promise<RuncState> {
    const text = await this.#call({ ...options, command: "state", args: [id], defaultMs: QUICK_MS });
    return parseState("state", text);
  }

  async list(options: CallOptions = {}): Promise<RuncState[]> {
    const args = ["--format", "json"];
    return parseList("list", await this.#call({ ...options, command: "list", args, defaultMs: QUICK_MS }));
  }

  /** Pids of all processes of the container, in the caller's pid namespace. */
  async pids(id: string, options: CallOptions = {}): Promise<number[]> {
    const args = ["--format", "json", id];
    return parsePids("ps", await this.#call({ ...options, command: "ps", args, defaultMs: QUICK_MS }));
  }

  async features(options: CallOptions = {}): Promise<RuncFeatures> {
    return parseFeatures(
      "features",
      await this.#call({ ...options, command: "features", args: [], defaultMs: QUICK_MS }),
    );
  }

  async version(options: CallOptions = {}): Promise<string> {
    return (await this.#call({ ...options, command: "--version", args: [], defaultMs: QUICK_MS })).trim();
  }

  #env(): NodeJS.ProcessEnv {
    return this.#config.env ?? process.env;
  }

  #globalArgs(): string[] {
    const { root, log, systemdCgroup, debug } = this.#config;
    const args = ["--root", root, "--log", log, "--log-format", "json"];
    if (systemdCgroup) args.push("--systemd-cgroup");
    if (debug) args.push("--debug");
    return args;
  }

  /** Runs one command and gives its standard output. */
  async #call(call: Call): Promise<string> {
    const before = logSize(this.#config.log);
    const run = this.#config.run ?? (await import("./spawn.js")).runCommand;
    const binary = this.#config.binary || "runc";
    const end = await run(binary, [...this.#globalArgs(), call.command, ...call.args], {
      env: { ...this.#env(), ...call.env },
      timeoutMs: call.timeoutMs ?? call.defaultMs,
      ...(call.signal ? { signal: call.signal } : {}),
      ...(call.stdio ? { stdio: call.stdio } : {}),
      ...(call.input === undefined ? {} : { input: call.input }),
      ...(call.onSpawn ? { onSpawn: call.onSpawn } : {}),
    });
    if (end.kind === "exited" && end.status === 0) return end.stdout;
    throw await this.#failure(call, binary, before, end);
  }

  async #failure(call: Call, binary: string, before: number, end: CommandEnd): Promise<RuncError> {
    const { command } = call;
    switch (end.kind) {
      case "failed":
        return new RuncError("RUNC_NOT_FOUND", `${binary} cannot be run: ${reasonOf(end.error)}`, {
          command,
          cause: end.error,
        });
      case "timeout":
        return new RuncError("RUNC_TIMEOUT", `runc ${command} did not end in time`, { command });
      case "aborted":
        return new RuncError("RUNC_ABORTED", `runc ${command} was cancelled`, { command });
      case "exited": {
        const said = lastError(this.#config.log, before) ?? end.stderr.trim();
        return isTooOld(said) ? this.#tooOld(command, said) : failureOf(command, end.status, said);
      }
    }
  }

  /** Only asked when something is wrong: no container pays for it. */
  async #tooOld(command: string, said: string): Promise<RuncError> {
    const version = versionIn(await this.version().catch(() => ""));
    return new RuncError("RUNC_TOO_OLD", `${said} (${version ?? "its version is not known"})`, { command });
  }
}
