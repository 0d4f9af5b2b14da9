/** Everything that a destination needs before the source may connect. */
import { mkdir } from "node:fs/promises";
import type { DestinationParts } from "./destination-undo.js";
import { Engine } from "./engine.js";
import type { HandoverStore } from "./handover.js";
import { NetworkLock } from "./netlock.js";
import { PacketHold } from "./packet-hold.js";
import { PLACES, type Places, Scratch, SPOOL } from "./scratch.js";
import type { PrepareHooks } from "./source-prepare.js";
import type { DestinationContainer, Strategy, Tls } from "./types.js";

export interface DestinationOptions {
  readonly migration: string;
  readonly strategy: Strategy;
  /** Where to listen for the source's data connection; the token is 64 hex digits. */
  readonly listen: { readonly host: string; readonly token: string; readonly tls: Tls };
  /** runC's list of the stdio of the source's init, JSON. */
  readonly descriptorsJson: string;
  /** Pipelined: memory waits in a file until the end of this round. */
  readonly stageAfter?: number;
  /** Of one processor, for the engine in the rounds; 0 or undefined: no limit. */
  readonly cpuPercent?: number;
  /** Path of the network namespace that stays locked until the release. */
  readonly netns?: string;
  /** Whether anybody wants to know where the time went. */
  readonly trace?: boolean;
  readonly libDir: string;
  readonly records: HandoverStore;
  readonly places?: Places;
}

const LISTEN_MS = 10_000;
/** The source has this long to connect. */
const CONNECT_MS = 60_000;

/** Returns the port of the data connection. @throws MigrationError */
export async function prepareDestination(
  container: DestinationContainer,
  options: DestinationOptions,
  hooks: PrepareHooks<DestinationParts>,
): Promise<{ parts: DestinationParts; port: number }> {
  const { strategy, libDir, migration, netns, stageAfter = 0, cpuPercent = 0 } = options;
  if (stageAfter > 0) await mkdir(SPOOL, { recursive: true, mode: 0o700 });
  const scratch = await Scratch.create(migration, "destination", options.places ?? PLACES);
  const lock = netns ? new NetworkLock(netns, "destination") : undefined;
  const hold = netns ? new PacketHold(`${libDir}/pclive-engine`, netns) : undefined;
  const first = { container, libDir, scratch, lock, hold, restore: undefined };
  hooks.acquired(first);
  lock?.prepare();
  await lock?.lock();
  hooks.still();
  const { engine } = await Engine.start({
    binary: `${libDir}/pclive-engine`,
    role: "destination",
    logFile: scratch.engineLog,
    onEvent: (event) => hooks.onEvent(event),
  });
  // The same object from now on: the restore is added to it.
  const parts: DestinationParts = { ...first, engine };
  hooks.acquired(parts);
  hooks.still();
  const what = {
    strategy,
    imageDir: scratch.images,
    overlaySocket: scratch.socket,
    stageAfter,
    spool: SPOOL,
    cpuPercent,
  };
  await engine.request("begin", what, { timeoutMs: LISTEN_MS });
  const where = { ...options.listen, port: 0, migration, timeoutMs: CONNECT_MS };
  const { port } = await engine.request("listen", where, { timeoutMs: LISTEN_MS });
  return { parts, port };
}
