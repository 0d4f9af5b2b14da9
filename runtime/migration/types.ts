/** What a migration needs from whoever owns the container. The shim's MigratableContainer fits. */
import type { Runc } from "../runc/index.js";

export type Strategy = "pipelined" | "precopy" | "stop-and-copy";
export const STRATEGIES: readonly Strategy[] = ["pipelined", "precopy", "stop-and-copy"];

export type Tracker = "auto" | "uffd" | "soft-dirty";
export const TRACKERS: readonly Tracker[] = ["auto", "uffd", "soft-dirty"];

/** Where the kernel keeps the container's processes. */
export interface Cgroup {
  readonly version: 1 | 2;
  /** The folder holding `freezer.state` (v1) or `cgroup.freeze` (v2). */
  readonly freezerPath: string;
  readonly procsPaths: readonly string[];
  /** Where its processor time is limited; undefined: nowhere. */
  readonly cpu?: CpuCgroup | undefined;
}

export type CpuCgroup =
  | { readonly version: 1; readonly folder: string; readonly usageFolder: string }
  | { readonly version: 2; readonly folder: string };

export interface MovableContainer {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly runc: Runc;
  initPid(): number;
}

/** A container that runs here. */
export interface SourceContainer extends MovableContainer {
  cgroup(): Promise<Cgroup>;
  runningExecs(): readonly string[];
  expectGone(exitStatus: number): Promise<unknown>;
}

/** A container that waits for its processes. */
export interface DestinationContainer extends MovableContainer {
  /** @throws before the container has processes */
  cgroup(): Promise<Cgroup>;
  restoreStdio(descriptors: readonly string[]): Promise<readonly [number, number, number]>;
  stdioHandedOver(): void;
  adopt(pid: number): Promise<void>;
  failed(reason: {
    readonly code: string;
    readonly message: string;
    readonly remedy?: string;
  }): Promise<void>;
}

/** PEM files for the data connection, and the name that the peer's certificate must carry. */
export interface Tls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly peerName: string;
}

/** What CRIU must be asked for beyond processes, at the dump and at the restore alike. */
export const MOVED_TOO = { tcpEstablished: true, externalUnixSockets: true, fileLocks: true } as const;
