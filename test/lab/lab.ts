/**
 * The lab for programs: hosts on one machine, driven through test/lab/lab. Every call is bounded by a
 * timeout and fails with a LabError that says where the logs are.
 */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export type Daemon = "containerd" | "pclived" | "dockerd";

export interface HostStatus {
  readonly address: string;
  /** The host's process 1 as this machine sees it; 0 when the host is down. */
  readonly pid: number;
  readonly containerd: boolean;
  readonly pclived: boolean;
}

export interface LabStatus {
  readonly name: string;
  readonly suite: string;
  readonly up: boolean;
  /** Mbit/s of each host's link, or "off". */
  readonly shape: string;
  /** Folder with a subfolder of logs for each host. */
  readonly logs: string;
  readonly hosts: Readonly<Partial<Record<string, HostStatus>>>;
}

export interface ExecOptions {
  /** Default 30 s. The command is ended inside the host when the time is over. */
  readonly timeoutMs?: number;
  /** Written to the command's standard input. */
  readonly input?: string;
  /** Give back a non-zero exit code instead of throwing. */
  readonly allowFailure?: boolean;
}

export interface ExecResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class LabError extends Error {
  constructor(
    readonly code: "TIMEOUT" | "EXIT",
    message: string,
    readonly remedy: string,
    readonly result: ExecResult,
  ) {
    super(message);
    this.name = "LabError";
  }
}

// build/js/test/lab/lab.js → the repository
const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));
const MAX_OUTPUT = 64 * 1024 * 1024;

export class Lab {
  private readonly command: string;

  /** @param name LAB_NAME: letters and digits; labs of different names do not meet */
  constructor(
    readonly name: string = process.env.LAB_NAME ?? "main",
    private readonly env: Readonly<Record<string, string>> = {},
  ) {
    // Another command with the same words may stand for the lab, as test/softdirty/guests does.
    this.command = this.environment().LAB_COMMAND ?? join(REPOSITORY, "test/lab/lab");
  }

  /** The lab of LAB_NAME, up: started unless it runs already. */
  static async up(): Promise<Lab> {
    const lab = new Lab();
    await lab.up();
    return lab;
  }

  /** Starts the lab; builds its images first if they are not there, which can take minutes. */
  async up(options: { fresh?: boolean } = {}): Promise<void> {
    await this.lab(options.fresh === true ? ["up", "--fresh"] : ["up"], { timeoutMs: 1_800_000 });
  }

  async down(): Promise<void> {
    await this.lab(["down"], { timeoutMs: 120_000 });
  }

  async status(): Promise<LabStatus> {
    return JSON.parse((await this.lab(["status", "--json"])).stdout) as LabStatus;
  }

  /**
   * Runs a command on a host and waits for it.
   * @throws LabError EXIT (unless allowFailure) or TIMEOUT
   */
  async exec(host: string, argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const timeoutMs = options.timeoutMs ?? 30_000;
    const begun = performance.now();
    // A signal to `lab exec` would not reach the command, so its own host ends it.
    const bounded = ["timeout", "--kill-after=2", String(timeoutMs / 1000), ...argv];
    const outer = { ...options, timeoutMs: timeoutMs + 5_000, allowFailure: true };
    const result = await this.lab(["exec", host, "--", ...bounded], outer);
    // 124 and 137 may as well be the command's own words, so the clock decides.
    if ((result.code === 124 || result.code === 137) && performance.now() - begun >= timeoutMs) {
      throw this.error("TIMEOUT", `${host}: ${argv.join(" ")} took over ${timeoutMs} ms`, result);
    }
    if (result.code !== 0 && options.allowFailure !== true) {
      throw this.error(
        "EXIT",
        `${host}: ${argv.join(" ")} exited with ${result.code}: ${tail(result.stderr || result.stdout)}`,
        result,
      );
    }
    return result;
  }

  /**
   * Starts a command on a host and leaves it running; its standard streams are pipes. The child is what
   * waits for the command at the border of the namespaces: use `signal`, not the child's `kill`.
   */
  spawn(host: string, argv: readonly string[]): ChildProcess {
    return spawn(this.command, ["exec", host, "--", ...argv], { env: this.environment(), stdio: "pipe" });
  }

  /** Signals a command that `spawn` started. @returns whether it was still there */
  signal(child: ChildProcess, signal: NodeJS.Signals): boolean {
    if (child.pid === undefined || child.exitCode !== null) return false;
    return childrenOf(child.pid).filter((pid) => send(pid, signal)).length > 0;
  }

  /** Limits what each container host sends, in Mbit/s. */
  async shape(mbit: number | "off"): Promise<void> {
    await this.lab(["shape", String(mbit)]);
  }

  /** Loses frames from one host to the other; without hosts between a and b, both ways. */
  async cut(from?: string, to?: string): Promise<void> {
    await this.lab(from === undefined || to === undefined ? ["cut"] : ["cut", from, to]);
  }

  /** Undoes every cut. */
  async heal(): Promise<void> {
    await this.lab(["heal"]);
  }

  /** A network namespace /run/netns/NAME on the host's bridge. @returns its path */
  async netns(host: string, name: string, address: string, mac?: string): Promise<string> {
    await this.lab(["netns", host, name, address, ...(mac === undefined ? [] : [mac])]);
    return `/run/netns/${name}`;
  }

  /** Imports build/images/NAME.tar on a host (a has them all). @returns the image's name in containerd */
  async image(host: string, name: string): Promise<string> {
    await this.lab(["image", host, name], { timeoutMs: 180_000 });
    return this.imageRef(name);
  }

  /** The name of the image of build/images/NAME.tar in containerd. */
  imageRef(name: string): string {
    return `pclive.test/${name}:latest`;
  }

  /** Starts a daemon and waits until it answers; nothing to do when it runs. */
  async start(host: string, daemon: Daemon): Promise<void> {
    await this.lab(["start", host, daemon]);
  }

  /** Signals a daemon; returns when it has ended, if the signal is one that ends it. */
  async kill(host: string, daemon: Daemon, signal = "KILL"): Promise<void> {
    await this.lab(["kill", host, daemon, signal]);
  }

  /** Signals every process of the host whose command line matches. @returns whether there was one */
  async killMatching(host: string, pattern: string, signal = "KILL"): Promise<boolean> {
    // Without the `timeout` of exec, whose own command line would match too.
    const result = await this.lab(["exec", host, "--", "pkill", `-${signal}`, "-f", "--", pattern], {
      allowFailure: true,
    });
    if (result.code > 1) throw this.error("EXIT", `pkill ${pattern}: ${tail(result.stderr)}`, result);
    return result.code === 0;
  }

  /** The host's file system as seen from this machine. */
  async root(host: string): Promise<string> {
    const pid = (await this.status()).hosts[host]?.pid ?? 0;
    if (pid === 0) throw this.error("EXIT", `host ${host} is down`, { code: 1, stdout: "", stderr: "" });
    return `/proc/${pid}/root`;
  }

  /** The folder of a host's logs; kept after down(). */
  logs(host: string): string {
    return join(REPOSITORY, "build/lab", this.name, "logs", host);
  }

  private environment(): NodeJS.ProcessEnv {
    return { ...process.env, LAB_NAME: this.name, ...this.env };
  }

  private lab(args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const timeout = options.timeoutMs ?? 60_000;
    return new Promise((resolve, reject) => {
      const settings = {
        env: this.environment(),
        timeout,
        maxBuffer: MAX_OUTPUT,
        killSignal: "SIGKILL" as const,
      };
      const child = execFile(this.command, [...args], settings, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 255;
        const result = { code, stdout, stderr };
        if (error?.killed === true)
          reject(this.error("TIMEOUT", `lab ${args.join(" ")} took over ${timeout} ms`, result));
        else if (code === 0 || options.allowFailure === true) resolve(result);
        else
          reject(
            this.error(
              "EXIT",
              `lab ${args.join(" ")}: ${tail(stderr || stdout) || (error?.message ?? "failed")}`,
              result,
            ),
          );
      });
      child.stdin?.on("error", () => undefined); // a command that ends early does not read its input
      child.stdin?.end(options.input ?? "");
    });
  }

  private error(code: LabError["code"], message: string, result: ExecResult): LabError {
    const logs = join(REPOSITORY, "build/lab", this.name, "logs");
    return new LabError(code, `${message} (logs: ${logs})`, `look into ${logs}`, result);
  }
}

function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false; // it has ended in the meantime
  }
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
    return text
      .split(" ")
      .filter((word) => word !== "")
      .map(Number);
  } catch {
    return [];
  }
}

function tail(text: string): string {
  return text.trim().split("\n").slice(-3).join(" | ");
}
