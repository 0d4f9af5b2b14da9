/** The parts that a process's standard streams are made of. */
import type { Stdio } from "../../runtime/runc/index.js";

/** The stdio of a process as a client of containerd named it: paths, URIs, or empty. */
export interface StdioPaths {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

/** Where output of a process goes. */
export interface Sink {
  /** Written to until `handOver` or `close`. */
  readonly fd: number;
  /** A copy has its own descriptor: ours goes, and the end of the copy is the end of the stream. Idempotent. */
  handOver(): void;
  /** Gives the descriptor back; readers at the other end see the end of the stream. Idempotent. */
  close(): void;
}

/** Both outputs of a process; equal schemes share resources. */
export interface Sinks {
  readonly stdout: Sink | undefined;
  readonly stderr: Sink | undefined;
  /** Ends whatever serves the sinks (a logging binary). Bounded. Idempotent. */
  close(): Promise<void>;
}

/** Where input of a process comes from. */
export interface Source {
  /** Read from until `handOver` or `close`. */
  readonly fd: number;
  /** A copy has its own descriptor: ours goes. Idempotent. */
  handOver(): void;
  /** The client will write no more: the end of the stream comes when it has closed its end too. */
  closeWriter(): void;
  close(): void;
}

/** The standard streams of one process, from before its start until after its end. */
export interface ProcessIo {
  /** Descriptors for runC. They stay open in the shim until `started`. */
  readonly child: Stdio;
  /** Path for `--console-socket`, with a terminal. */
  readonly consoleSocket: string | undefined;
  /** runC has ended well: the process holds its own descriptors (and its terminal has arrived). */
  started(): Promise<void>;
  /** Without a terminal this does nothing. Before `started` it takes effect then. */
  resize(columns: number, rows: number): void;
  closeStdin(): void;
  /** Resolves when all output of the process has been copied: its last holder has closed it. */
  drained(): Promise<void>;
  /** Releases everything. Idempotent. */
  close(): Promise<void>;
}
