/** Options of the single commands, and how they become arguments. */

/** For every command. */
export interface CallOptions {
  /** Milliseconds; Infinity for none (then give a `signal`). */
  readonly timeoutMs?: number;
  /** Aborting kills runC and its helpers with SIGKILL. */
  readonly signal?: AbortSignal;
  /** Set on top of the driver's own environment. */
  readonly env?: NodeJS.ProcessEnv;
  readonly onSpawn?: (pid: number) => void;
}

/** Descriptors 0-2 of the new process. */
export type Stdio = readonly [number, number, number];

export interface CreateOptions extends CallOptions {
  readonly bundle: string;
  readonly pidFile: string;
  readonly stdio: Stdio;
  readonly consoleSocket?: string;
  readonly noPivot?: boolean;
  readonly noNewKeyring?: boolean;
}

export interface ExecOptions extends CallOptions {
  /** File with the OCI process, JSON. */
  readonly processFile: string;
  readonly pidFile: string;
  readonly stdio: Stdio;
  readonly consoleSocket?: string;
}

/** What `runc checkpoint` and `runc restore` both take. */
interface CriuOptions extends CallOptions {
  readonly imagePath: string;
  readonly workPath?: string;
  readonly tcpEstablished?: boolean;
  readonly externalUnixSockets?: boolean;
  readonly shellJob?: boolean;
  readonly fileLocks?: boolean;
  readonly emptyNamespaces?: readonly string[];
  readonly manageCgroupsMode?: "soft" | "full" | "strict" | "ignore";
}

export interface CheckpointOptions extends CriuOptions {
  readonly leaveRunning?: boolean;
  readonly parentPath?: string;
  readonly preDump?: boolean;
}

export interface RestoreOptions extends CriuOptions {
  readonly bundle: string;
  readonly pidFile: string;
  readonly stdio: Stdio;
  readonly consoleSocket?: string;
  readonly noPivot?: boolean;
  /** False only when runC itself shall stay the parent of what it restored. Default true. */
  readonly noSubreaper?: boolean;
}

export interface DeleteOptions extends CallOptions {
  /** Kill what still runs. */
  readonly force?: boolean;
}

export interface KillOptions extends CallOptions {
  /** Every process of the container, not only init. */
  readonly all?: boolean;
}

export function createArgs(id: string, o: CreateOptions): string[] {
  return [
    ...pair("--bundle", o.bundle),
    ...pair("--pid-file", o.pidFile),
    ...pair("--console-socket", o.consoleSocket),
    ...flag("--no-pivot", o.noPivot),
    ...flag("--no-new-keyring", o.noNewKeyring),
    id,
  ];
}

export function execArgs(id: string, o: ExecOptions): string[] {
  return [
    "--detach",
    ...pair("--process", o.processFile),
    ...pair("--pid-file", o.pidFile),
    ...pair("--console-socket", o.consoleSocket),
    id,
  ];
}

export function checkpointArgs(id: string, o: CheckpointOptions): string[] {
  return [
    ...criuArgs(o),
    ...flag("--leave-running", o.leaveRunning),
    ...pair("--parent-path", o.parentPath),
    ...flag("--pre-dump", o.preDump),
    id,
  ];
}

export function restoreArgs(id: string, o: RestoreOptions): string[] {
  return [
    ...criuArgs(o),
    "--detach",
    ...flag("--no-subreaper", o.noSubreaper ?? true),
    ...pair("--bundle", o.bundle),
    ...pair("--pid-file", o.pidFile),
    ...pair("--console-socket", o.consoleSocket),
    ...flag("--no-pivot", o.noPivot),
    id,
  ];
}

function criuArgs(o: CriuOptions): string[] {
  return [
    ...pair("--image-path", o.imagePath),
    ...pair("--work-path", o.workPath),
    ...flag("--tcp-established", o.tcpEstablished),
    ...flag("--ext-unix-sk", o.externalUnixSockets),
    ...flag("--shell-job", o.shellJob),
    ...flag("--file-locks", o.fileLocks),
    ...pair("--manage-cgroups-mode", o.manageCgroupsMode),
    ...(o.emptyNamespaces ?? []).flatMap((name) => ["--empty-ns", name]),
  ];
}

function pair(name: string, value: string | undefined): string[] {
  return value === undefined || value === "" ? [] : [name, value];
}

function flag(name: string, set: boolean | undefined): string[] {
  return set ? [name] : [];
}
