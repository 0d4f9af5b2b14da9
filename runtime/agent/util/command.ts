/** Runs the system's own tools: bounded in time and in what they may say. */
import { spawn } from "node:child_process";
import { AgentError, type AgentErrorCode } from "../errors.js";

export interface CommandOptions {
  readonly input?: string;
  /** Milliseconds; default 10 000. */
  readonly timeoutMs?: number;
  /** The code of the error when it fails. */
  readonly code?: AgentErrorCode;
}

const MAX_OUTPUT = 8 * 1024 * 1024;

/**
 * What a command wrote on standard output.
 * @throws AgentError with the command's own words when it cannot be run, fails, or takes too long
 */
export function command(
  file: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { input = "", timeoutMs = 10_000, code = "INTERNAL" } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ["pipe", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    let out = "";
    let err = "";
    const fail = (message: string, cause?: unknown) =>
      reject(new AgentError(code, `${file} ${args.slice(0, 6).join(" ")}: ${message}`, { cause }));
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
      if (out.length > MAX_OUTPUT) child.kill("SIGKILL");
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      err = (err + text).slice(-4096);
    });
    child.stdin.on("error", () => undefined);
    child.stdin.end(input);
    child.once("error", (error) => fail(error.message, error));
    child.once("close", (status, signal) => {
      if (status === 0) resolve(out);
      else if (signal !== null) fail(`ended by ${signal} (at most ${timeoutMs} ms and ${MAX_OUTPUT} bytes)`);
      else fail(err.trim() || `status ${status}`);
    });
  });
}
