/** Everything that a source needs before the first round. The container is not touched yet. */

import type { Recorder } from "../trace/recorder.js";
import { Engine } from "./engine.js";
import type { Answer, EngineEvent } from "./engine-messages.js";
import { MigrationError } from "./error.js";
import { Freezer, processesOf } from "./freezer.js";
import type { HandoverStore } from "./handover.js";
import { NetworkLock } from "./netlock.js";
import { residentBytes } from "./process.js";
import { PLACES, type Places, Scratch } from "./scratch.js";
import { type SourceParts, startDump } from "./switchover.js";
import { Throttle } from "./throttle.js";
import type { SourceContainer, Strategy, Tls, Tracker } from "./types.js";

export interface SourceOptions {
  readonly migration: string;
  readonly strategy: Strategy;
  /** The peer's data connection; the token is 64 hex digits. */
  readonly peer: { readonly host: string; readonly port: number; readonly token: string; readonly tls: Tls };
  readonly tracker: Tracker;
  /** Bytes per second; undefined: no limit. */
  readonly bandwidth?: number;
  /** Connections that pages go over; 0 or undefined: as many as are worth it. */
  readonly streams?: number;
  /** Of one processor, for the engine in the rounds; 0 or undefined: no limit. */
  readonly cpuPercent?: number;
  /** Of all processors of the host, to be left idle by the first round; 0 or undefined: no limit. */
  readonly headroomPercent?: number;
  /** Path of the network namespace to lock during the switchover. */
  readonly netns?: string;
  /** Whether anybody wants to know where the time went. */
  readonly trace?: boolean;
  /** Folder of `pclive-engine` and `criu/criu`. */
  readonly libDir: string;
  readonly records: HandoverStore;
  readonly places?: Places;
}

export interface BeginReport {
  readonly tracker: string;
  readonly pids: readonly number[];
  readonly residentBytes: number;
}

/** How a preparation tells its migration what it holds, and learns that it was given up. */
export interface PrepareHooks<Parts> {
  /** Called with all that exists whenever something was added: a failure later on must find it. */
  acquired(parts: Partial<Parts>): void;
  /** @throws MigrationError `cancelled` */
  still(): void;
  onEvent(event: EngineEvent): void;
}

const CONNECT_MS = 15_000;
const BEGIN_MS = 30_000;

/** @throws MigrationError */
export async function prepareSource(
  container: SourceContainer,
  options: SourceOptions,
  hooks: PrepareHooks<SourceParts>,
  recorder: Recorder,
): Promise<{ parts: SourceParts; report: BeginReport }> {
  const { strategy, libDir, netns } = options;
  refuseExecs(container);
  const cgroup = await container.cgroup();
  const scratch = await Scratch.create(options.migration, "source", options.places ?? PLACES);
  const freezer = new Freezer(cgroup);
  const lock = netns ? new NetworkLock(netns, "source") : undefined;
  const throttle = cgroup.cpu && (await Throttle.watch(cgroup.cpu, scratch.root));
  const first = {
    dump: undefined,
    container,
    cgroup,
    strategy,
    libDir,
    scratch,
    freezer,
    lock,
    throttle,
    recorder,
  };
  hooks.acquired(first);
  lock?.prepare();
  hooks.still();
  const { engine, hello } = await Engine.start({
    binary: `${libDir}/pclive-engine`,
    role: "source",
    logFile: scratch.engineLog,
    onEvent: (event) => hooks.onEvent(event),
  });
  // The same object from now on: the dump is added to it.
  const parts: SourceParts = { ...first, engine };
  hooks.acquired(parts);
  hooks.still();
  const begun = await connect(parts, options);
  if (strategy !== "stop-and-copy") startDump(parts);
  const pids = processesOf(cgroup);
  const report = {
    tracker: begun.tracker ?? trackerOf(options, hello.features),
    pids,
    residentBytes: pids.reduce((sum, pid) => sum + residentBytes(pid), 0),
  };
  return { parts, report };
}

async function connect(parts: SourceParts, options: SourceOptions): Promise<Answer<"begin">> {
  const { migration, peer, bandwidth, streams = 0, cpuPercent = 0, headroomPercent = 0, tracker } = options;
  const target = {
    ...peer,
    migration,
    timeoutMs: CONNECT_MS,
    streams,
    cpuPercent,
    headroomPercent,
    ...(bandwidth ? { bandwidth } : {}),
  };
  await parts.engine.request("connect", target, { timeoutMs: CONNECT_MS + 5_000 });
  const what = {
    initPid: parts.container.initPid(),
    cgroupProcs: parts.cgroup.procsPaths,
    tracker,
    overlaySocket: parts.scratch.socket,
    pages: parts.strategy !== "stop-and-copy",
  };
  return parts.engine.request("begin", what, { timeoutMs: BEGIN_MS });
}

/** CRIU follows init's descendants; what was added by exec has another parent. */
export function refuseExecs(container: SourceContainer): void {
  const execs = container.runningExecs();
  if (execs.length === 0) return;
  throw new MigrationError(
    "unsupported",
    `processes started by exec run in the container: ${execs.join(", ")}`,
    {
      remedy: "end them, then migrate",
    },
  );
}

function trackerOf(options: SourceOptions, features: Answer<"hello">["features"]): string {
  if (options.strategy === "stop-and-copy") return "none";
  if (options.tracker !== "auto") return options.tracker;
  return features.uffdWpAsync && features.pagemapScan ? "uffd" : "soft-dirty";
}
