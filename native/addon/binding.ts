/** Finds and loads pclive.node. What it exports is wrapped, with its arguments checked, by this folder's other files. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export interface PeerCred {
  /** as this process's pid namespace sees it; 0 from outside of it */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** A socket of the addon's; what happens to it is told to the functions given to `open`. */
interface RawSocket {
  readonly fd: number;
  open(events: { data(bytes: Buffer): void; end(): void; drain(): void; closed(): void }): void;
  /** @returns bytes that wait to go out */
  write(bytes: Uint8Array): number;
  end(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
}

export interface Binding {
  connectSocket(path: string, connected: (error: Error | null) => void): RawSocket;
  /** @param where a path, or the descriptor of a socket that listens already */
  listenSocket(
    where: string | number,
    connection: (error: Error | null, socket?: RawSocket) => void,
    closed: () => void,
  ): () => void;
  pipe(): [number, number];
  eventFd(): number;
  readEventFd(fd: number): number;
  getPeerCred(fd: number): PeerCred;
  tryReceiveFd(socket: number): number | null;
  hasAttributes(fd: number): boolean;
  dropAttributes(fd: number): void;
  setWinsize(fd: number, columns: number, rows: number): void;
  realtimeNs(): bigint;
  setSubreaper(on: boolean): void;
  setParentDeathSignal(signal: number): void;
  reapOne(pid: number): number | null;
  peekEnded(): number;
  sha256(text: string): string;
  spawn(
    file: string,
    argv: readonly string[],
    env: readonly string[],
    cwd: string,
    stdio: readonly number[],
  ): number;
  report(bytes: Uint8Array): void;
  leaveLauncher(): void;
  memoryFile(name: string, limit: number): number;
  position(fd: number): number;
  pidfdOpen(pid: number): number;
  pidfdSendSignal(fd: number, signal: number): void;
  mount(source: string, target: string, type: string, flags: number, data: string, directory: string): void;
  unmount(target: string, lazy: boolean): void;
  attachLoop(file: string, readOnly: boolean, direct: boolean): { fd: number; path: string };
  userNamespace(uidMap: string, gidMap: string): number;
  mountMapped(
    source: string,
    target: string,
    userNamespace: number,
    readOnly: boolean,
    recursive: boolean,
  ): void;
  giveBackMemory(): void;
  watchReadable(fd: number, callback: () => void): () => void;
  startPump(
    input: number,
    output: number,
    stopWhenLost: boolean,
  ): { done: Promise<number>; stop: () => void };
}

/** PCLIVE_ADDON, else beside the running file (an installed bundle), else in the build folder above it. */
function locate(): string {
  const named = process.env.PCLIVE_ADDON;
  if (named !== undefined && named !== "") return named;
  const here = dirname(fileURLToPath(import.meta.url));
  const beside = join(here, "pclive.node");
  if (existsSync(beside)) return beside;
  for (let folder = here; ; folder = dirname(folder)) {
    const built = join(folder, "build/native/addon/pclive.node");
    if (existsSync(built)) return built;
    if (folder === dirname(folder)) break;
  }
  throw new Error(
    `pclive.node is not in ${here}, nor built above it; remedy: make addon, or set PCLIVE_ADDON to its path`,
  );
}

/** The installed shim is one file with the addon: it has loaded that already, for its code is in there. */
const LOADED = Symbol.for("pclive.addon");

function load(): Binding {
  const loaded = (globalThis as { [LOADED]?: Binding })[LOADED];
  if (loaded) return loaded;
  const module = { exports: {} };
  process.dlopen(module, locate());
  return module.exports as Binding;
}

export const binding: Binding = load();
