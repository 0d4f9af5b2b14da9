/**
 * What a migration may see of, and do with, a container of this shim.
 *
 * A migration first takes the container with `beginMove`; until that lease ends, calls that would
 * disturb it (pause, resume, checkpoint, update, exec) are refused with FAILED_PRECONDITION,
 * while Kill and Delete first ask the lease to make way.
 */
import type { CpuCgroup } from "../../runtime/migration/types.js";
import type { Runc } from "../../runtime/runc/runc.js";
import type { Log } from "../log.js";

export type ContainerState = "created" | "running" | "pausing" | "paused" | "stopped";

/** How init ended. */
export interface Exit {
  /** The exit code, or 128 + signal. */
  readonly status: number;
  /** Unix time in milliseconds. */
  readonly at: number;
}

/** Where the kernel keeps the container's processes. All paths are absolute and exist. */
export interface CgroupPaths {
  readonly version: 1 | 2;
  /** The folder holding `freezer.state` (v1) or `cgroup.freeze` (v2). */
  readonly freezerPath: string;
  /** `cgroup.procs` of the container's cgroup and of every cgroup below it. */
  readonly procsPaths: readonly string[];
  /** Where its processor time is limited; undefined: nowhere. */
  readonly cpu?: CpuCgroup | undefined;
}

/** Why the user wants a moving container back. */
export type Interruption = { readonly kind: "kill"; readonly signal: number } | { readonly kind: "delete" };

export interface MoveLeaseOptions {
  readonly migration: string;
  /**
   * Called before a Kill or Delete of the user is carried out. Resolves when that call may go on (the
   * migration is rolled back, or does not mind the signal); rejects when it must be refused.
   */
  makeWay(why: Interruption): Promise<void>;
}

export interface MoveLease {
  /** Gives the container back to ordinary use. Idempotent. */
  end(): void;
}

/** The part of `config.json` that matters here; everything else is kept as it was read. */
export interface OciSpec {
  readonly annotations?: Readonly<Record<string, string>>;
  readonly process?: { readonly terminal?: boolean; readonly [key: string]: unknown };
  readonly root?: { readonly path?: string; readonly readonly?: boolean };
  readonly linux?: {
    readonly cgroupsPath?: string;
    readonly namespaces?: readonly { readonly type: string; readonly path?: string }[];
    readonly [key: string]: unknown;
  };
  readonly [key: string]: unknown;
}

/** A task that was created with `pclive.shim.v1.IncomingOptions` and waits for its processes. */
export interface IncomingTask {
  readonly migration: string;
  /**
   * The descriptors 0-2 for `runc restore`, by runC's list of the source's stdio (`descriptors.json`):
   * a pipe where the source had one ("pipe:[…]"), /dev/null otherwise.
   * They stay open in this process until `stdioHandedOver`. Call it once.
   */
  restoreStdio(descriptors: readonly string[]): Promise<readonly [number, number, number]>;
  /** runC holds its own copies now: closes ours, so that the end of the stream can be seen. */
  stdioHandedOver(): void;
  /**
   * The restored init is `pid` and runs: takes over its reaping and lets containerd's Start answer.
   * Correct also when it has already exited.
   */
  adopt(pid: number): Promise<void>;
  /** There will be no process: Start fails with this reason, the task is stopped. Idempotent. */
  failed(reason: {
    readonly code: string;
    readonly message: string;
    readonly remedy?: string;
  }): Promise<void>;
}

export interface MigratableContainer {
  readonly id: string;
  readonly namespace: string;
  /** Absolute path of the bundle. */
  readonly bundle: string;
  readonly runc: Runc;
  /** The pid of init in this shim's pid namespace; 0 while an incoming task has none. */
  initPid(): number;
  state(): ContainerState;
  spec(): Promise<OciSpec>;
  /** @throws when init is gone */
  cgroup(): Promise<CgroupPaths>;
  /** Ids of processes added by exec that run now: CRIU cannot move these. */
  runningExecs(): readonly string[];
  /** Serialises `fn` against every call that changes the container. `what` is for messages. */
  exclusive<T>(what: string, fn: () => Promise<T>): Promise<T>;
  /**
   * Has a checkpoint in the background given up.
   * @throws FAILED_PRECONDITION when a move or a checkpoint that somebody waits for is under way
   */
  becomeIdle(what: string): Promise<void>;
  /** @throws FAILED_PRECONDITION when a move or a checkpoint is under way, or when the container is stopped */
  beginMove(options: MoveLeaseOptions): MoveLease;
  /** A process's memory has one tracker only: that of a protected container makes way. Never rejects. */
  endTracking(): Promise<void>;
  /**
   * Init is about to be killed because it lives elsewhere now: whatever the kernel says, containerd
   * hears this exit status. Resolves when the exit has been reaped and published (not bounded).
   */
  expectGone(exitStatus: number): Promise<Exit>;
  /** Set only for a task restored by a migration. */
  incoming(): IncomingTask | undefined;
}

/** What the shim offers to its extensions. */
export interface ShimHost {
  readonly namespace: string;
  readonly log: Log;
  /** Folder of the shim's own files: `pclive-engine`, `criu/`. */
  readonly libDir: string;
  container(id: string): MigratableContainer | undefined;
  /** The shim stays, even without containers, until the returned function is called. */
  holdShutdown(): () => void;
}
