/** Runs runC for the shim: natively, as Node's way costs milliseconds each time, and with the shim's own reaper. */
import { closeSync, openSync, writeSync } from "node:fs";
import { memoryFile, spawn, writtenTo } from "#addon";
import {
  type CommandEnd,
  type CommandOptions,
  MAX_OUTPUT,
  MAX_STDERR,
  type RunCommand,
} from "../../runtime/runc/index.js";
import type { Reaper } from "./reaper.js";

export function commandRunner(reaper: Reaper): RunCommand {
  return async (binary, args, options) => {
    if (options.signal?.aborted) return { kind: "aborted", stderr: "" };
    const files = new CommandFiles(options);
    try {
      const { cwd, env } = options;
      const pid = spawn(binary, args, { env, stdio: files.stdio, ...(cwd === undefined ? {} : { cwd }) });
      options.onSpawn?.(pid);
      return await ended(pid, reaper, options, files);
    } catch (error) {
      return { kind: "failed", error: error as NodeJS.ErrnoException };
    } finally {
      files.close();
    }
  };
}

async function ended(
  pid: number,
  reaper: Reaper,
  options: CommandOptions,
  files: CommandFiles,
): Promise<CommandEnd> {
  let cut: "timeout" | "aborted" | undefined;
  const end = (reason: "timeout" | "aborted") => {
    cut ??= reason;
    killGroup(pid);
  };
  const timer = Number.isFinite(options.timeoutMs)
    ? setTimeout(() => end("timeout"), options.timeoutMs)
    : undefined;
  const onAbort = () => end("aborted");
  options.signal?.addEventListener("abort", onAbort, { once: true });
  const { status } = await reaper.exitOf(pid);
  clearTimeout(timer);
  options.signal?.removeEventListener("abort", onAbort);
  const stderr = files.stderr();
  return cut ? { kind: cut, stderr } : { kind: "exited", status, stdout: files.stdout(), stderr };
}

/** What a command reads and writes when it is not given descriptors: files in memory, read when it has ended. */
class CommandFiles {
  readonly stdio: readonly [number, number, number];
  readonly #opened: number[] = [];
  readonly #kept: { readonly stdout: number; readonly stderr: number } | undefined;

  constructor(options: CommandOptions) {
    if (options.stdio) {
      this.stdio = options.stdio;
      return;
    }
    try {
      const input = this.#open(() =>
        options.input === undefined ? openSync("/dev/null", "r") : given(options.input),
      );
      const stdout = this.#open(() => memoryFile("stdout", MAX_OUTPUT));
      const stderr = this.#open(() => memoryFile("stderr", MAX_STDERR));
      this.stdio = [input, stdout, stderr];
      this.#kept = { stdout, stderr };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  stdout(): string {
    return this.#kept ? writtenTo(this.#kept.stdout).toString("utf8") : "";
  }

  stderr(): string {
    return this.#kept ? writtenTo(this.#kept.stderr).toString("utf8") : "";
  }

  close(): void {
    for (const fd of this.#opened.splice(0)) closeSync(fd);
  }

  #open(open: () => number): number {
    const fd = open();
    this.#opened.push(fd);
    return fd;
  }
}

function given(input: string): number {
  const bytes = Buffer.from(input);
  const fd = memoryFile("stdin", bytes.length);
  // At a position of its own: that of the descriptor stays at the beginning, for the reader.
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, done);
  return fd;
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended in this moment.
  }
}
