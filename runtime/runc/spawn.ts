/** Runs one command by Node's own means, bounded in time and in the output kept. */
import { type ChildProcess, spawn } from "node:child_process";
import { type CommandEnd, type CommandOptions, MAX_OUTPUT, MAX_STDERR } from "./command.js";

/** A `RunCommand`. */
export function runCommand(
  binary: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandEnd> {
  if (options.signal?.aborted) return Promise.resolve({ kind: "aborted", stderr: "" });
  return new Promise((resolve) => {
    let child: ChildProcess;
    try {
      child = start(binary, args, options);
    } catch (error) {
      resolve({ kind: "failed", error: error as NodeJS.ErrnoException });
      return;
    }
    const stdout = collect(child.stdout, MAX_OUTPUT);
    const stderr = collect(child.stderr, MAX_STDERR);
    let cut: "timeout" | "aborted" | undefined;
    const end = (reason: "timeout" | "aborted") => {
      cut ??= reason;
      killGroup(child);
    };
    const timer = Number.isFinite(options.timeoutMs)
      ? setTimeout(() => end("timeout"), options.timeoutMs)
      : undefined;
    const onAbort = () => end("aborted");
    options.signal?.addEventListener("abort", onAbort, { once: true });
    const finish = (result: CommandEnd) => {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", onAbort);
      resolve(result);
    };
    child.once("error", (error) => finish({ kind: "failed", error }));
    child.once(options.stdio ? "exit" : "close", (code, signal) => {
      if (cut) finish({ kind: cut, stderr: stderr() });
      else finish({ kind: "exited", status: statusOf(code, signal), stdout: stdout(), stderr: stderr() });
    });
    if (child.pid !== undefined) options.onSpawn?.(child.pid);
  });
}

function start(binary: string, args: readonly string[], options: CommandOptions): ChildProcess {
  const piped: ("ignore" | "pipe")[] = [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"];
  const child = spawn(binary, args, {
    env: options.env,
    detached: true,
    stdio: options.stdio ? [...options.stdio] : piped,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  if (child.stdin) {
    // The command may end without reading its input; its exit status tells why.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
  }
  return child;
}

function collect(stream: NodeJS.ReadableStream | null, limit: number): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream?.on("data", (chunk: Buffer) => {
    if (size < limit) chunks.push(chunk);
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // It has ended in this moment.
  }
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

function statusOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (SIGNALS[signal ?? ""] ?? 0);
}
