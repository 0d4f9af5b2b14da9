/** A host of the lab on which clients are used as people use them: by lines typed into a shell. */
import assert from "node:assert/strict";
import { type ExecResult, Lab } from "../lab/lab.js";

export interface LineOptions {
  /** Default 60 s. */
  readonly timeoutMs?: number;
  readonly input?: string;
}

const STOCK = "/usr/bin/containerd-shim-runc-v2";

export class Host {
  private constructor(
    readonly lab: Lab,
    readonly name: string,
  ) {}

  static async up(): Promise<Host> {
    return new Host(await Lab.up(), "a");
  }

  /** Types a line; gives its output without the last newline. A line that fails throws with all that it said. */
  async run(line: string, options: LineOptions = {}): Promise<string> {
    const result = await this.outcome(line, options);
    assert.equal(result.code, 0, `${line}\n${result.stdout}${result.stderr}`);
    return result.stdout.trimEnd();
  }

  /** Types a line whose failing is part of the test. */
  outcome(line: string, options: LineOptions = {}): Promise<ExecResult> {
    return this.lab.exec(this.name, ["bash", "-c", line], {
      timeoutMs: 60_000,
      ...options,
      allowFailure: true,
    });
  }

  /** Types a line again and again until what it prints matches. */
  async until(line: string, wanted: RegExp, timeoutMs = 20_000): Promise<string> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const { stdout, stderr } = await this.outcome(line);
      if (wanted.test(stdout)) return stdout.trimEnd();
      if (Date.now() > deadline) assert.fail(`${line}\nnever said ${wanted}, but: ${stdout}${stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }

  /** Lets the stock shim's file lead to ours, for those who name no runtime; `restoreStock` undoes it. */
  async replaceStock(): Promise<void> {
    await this.run(
      `[ -e ${STOCK}.kept ] || mv ${STOCK} ${STOCK}.kept; ln -sf /usr/local/bin/containerd-shim-pclive-v2 ${STOCK}`,
    );
  }

  async restoreStock(): Promise<void> {
    await this.run(`[ ! -e ${STOCK}.kept ] || mv -f ${STOCK}.kept ${STOCK}`);
  }

  /** The command lines of the shims that run for a containerd namespace, with what they execute. */
  async shims(namespace: string): Promise<string[]> {
    // The brackets keep the pattern from finding the shell that looks for it.
    const list = `for pid in $(pgrep -f -- '-[n]amespace ${namespace} .*-id '); do
      echo "$(readlink /proc/$pid/exe) $(tr '\\0' ' ' </proc/$pid/cmdline)"; done`;
    const { stdout } = await this.outcome(list);
    return stdout.split("\n").filter((shim) => shim !== "");
  }

  /** Every shim of the namespace is PCLive's, and there are so many. */
  async assertShims(namespace: string, count: number): Promise<void> {
    const shims = await this.shims(namespace);
    assert.equal(shims.length, count, `shims:\n${shims.join("\n")}`);
    for (const shim of shims) assert.match(shim, /pclive/);
  }

  /** Waits until no shim of the namespace is left. */
  async assertNoShims(namespace: string): Promise<void> {
    const deadline = Date.now() + 15_000;
    for (;;) {
      const left = await this.shims(namespace);
      if (left.length === 0) return;
      if (Date.now() > deadline) assert.fail(`shims are left:\n${left.join("\n")}`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}
