/** Programs started by the kernel's quickest way; whoever starts them reaps them. */
import { readSync } from "node:fs";
import { binding } from "./binding.js";
import { checkFd, checkText } from "./check.js";

export interface SpawnOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Descriptors that become 0, 1 and 2. */
  readonly stdio: readonly [number, number, number];
}

/**
 * Starts `file` (looked up in this process's PATH when it has no slash) as leader of a session of its own.
 * @returns its pid; its end is for `reap` to collect
 * @throws system errors, ENOENT and EACCES of the file among them
 */
export function spawn(file: string, args: readonly string[], options: SpawnOptions): number {
  for (const fd of options.stdio) checkFd("stdio", fd);
  for (const text of [file, ...args]) checkText("args", text);
  const env: string[] = [];
  for (const [name, value] of Object.entries(options.env))
    if (value !== undefined) env.push(`${name}=${value}`);
  return binding.spawn(file, [file, ...args], env, options.cwd ?? "", options.stdio);
}

/** A file in memory for the output of a program: at most `limit` bytes, the rest cannot be written. The caller closes it. */
export function memoryFile(name: string, limit: number): number {
  return binding.memoryFile(name, limit);
}

/** What was written to a `memoryFile` so far. */
export function writtenTo(fd: number): Buffer {
  checkFd("fd", fd);
  const bytes = Buffer.alloc(binding.position(fd));
  const size = bytes.length === 0 ? 0 : readSync(fd, bytes, 0, bytes.length, 0);
  return bytes.subarray(0, size);
}
