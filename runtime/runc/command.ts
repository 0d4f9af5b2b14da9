/** What it takes to run one command to its end, whoever does it. */

export interface CommandOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Descriptors for 0-2. Without it: no input, output and errors are kept. */
  readonly stdio?: readonly [number, number, number];
  /** Text for standard input; not together with `stdio`. */
  readonly input?: string;
  /** Milliseconds. Afterwards the command's process group is killed. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Called once with the pid of the command. */
  readonly onSpawn?: (pid: number) => void;
}

/** How a command ended: by itself, or by us. */
export type CommandEnd =
  | { readonly kind: "exited"; readonly status: number; readonly stdout: string; readonly stderr: string }
  | { readonly kind: "timeout"; readonly stderr: string }
  | { readonly kind: "aborted"; readonly stderr: string }
  | { readonly kind: "failed"; readonly error: NodeJS.ErrnoException };

/**
 * Never rejects. The command leads a process group of its own, so that ending it takes its helpers (CRIU)
 * along. With `stdio`, the end is that of the process itself: what it started may keep the descriptors.
 */
export type RunCommand = (
  binary: string,
  args: readonly string[],
  options: CommandOptions,
) => Promise<CommandEnd>;

/** More output than any answer of runC has; what exceeds it is an error, not a reason to grow. */
export const MAX_OUTPUT = 16 * 1024 * 1024;
export const MAX_STDERR = 64 * 1024;
