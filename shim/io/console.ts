/** Standard streams of a process with a terminal: runC sends us its master side. */

import { closeSync, open } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { setWinsize } from "#addon";
import { ConsoleSocket } from "#addon/console";
import type { Stdio } from "../../runtime/runc/index.js";
import { ShimError } from "../errors.js";
import { sleep } from "../time.js";
import { type Copy, copy } from "./copy.js";
import type { ProcessIo, Sinks, Source } from "./types.js";

const openFd = promisify(open) as (path: string, flags: string) => Promise<number>;
const TERMINAL_MS = 30_000;
/** Between the end of input and the hangup: for what was typed last to be answered, and read. */
const LAST_WORDS_MS = 50;
/** Short: the path of a unix socket has 107 characters, bundles are long. */
const SOCKET_DIR = "/run/containerd/s";

export async function openConsoleIo(
  source: Source | undefined,
  sinks: Sinks | undefined,
): Promise<ProcessIo> {
  const folder = await mkdtemp(join(SOCKET_DIR, "pty"));
  try {
    const path = join(folder, "console.sock");
    const socket = await ConsoleSocket.listen(path);
    const devNull = await openFd("/dev/null", "r+");
    return new ConsoleIo(folder, path, socket, devNull, source, sinks);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

class ConsoleIo implements ProcessIo {
  readonly child: Stdio;
  readonly consoleSocket: string;
  readonly #folder: string;
  readonly #socket: ConsoleSocket;
  readonly #devNull: number;
  readonly #source: Source | undefined;
  readonly #sinks: Sinks | undefined;
  #master: number | undefined;
  #size: { columns: number; rows: number } | undefined;
  #input: Copy | undefined;
  #output: Copy | undefined;
  #waiting = true;
  #stdinClosed = false;
  #hungUp = false;
  #closed = false;

  constructor(
    folder: string,
    path: string,
    socket: ConsoleSocket,
    devNull: number,
    source: Source | undefined,
    sinks: Sinks | undefined,
  ) {
    this.#folder = folder;
    this.consoleSocket = path;
    this.#socket = socket;
    this.#devNull = devNull;
    this.child = [devNull, devNull, devNull];
    this.#source = source;
    this.#sinks = sinks;
  }

  async started(): Promise<void> {
    this.#master = await this.#socket.receive(TERMINAL_MS);
    await this.#stopWaiting();
    if (this.#size) setWinsize(this.#master, this.#size.columns, this.#size.rows);
    if (this.#source) {
      this.#input = copy(this.#source.fd, this.#master, true);
      void this.#input.done.then(() => this.#inputEnded());
    }
    this.#source?.handOver();
    const stdout = this.#sinks?.stdout;
    this.#output = copy(this.#master, stdout?.fd);
    stdout?.handOver();
    void this.#output.done.then(() => stdout?.close());
  }

  /** @throws ShimError when the terminal has been hung up */
  resize(columns: number, rows: number): void {
    if (this.#hungUp)
      throw new ShimError("UNKNOWN", "the terminal has been hung up", "none: its client left");
    this.#size = { columns, rows };
    if (this.#master !== undefined) setWinsize(this.#master, columns, rows);
  }

  /** When the client has closed its end too, the terminal is hung up: nobody will ever type again. */
  closeStdin(): void {
    this.#stdinClosed = true;
    this.#source?.closeWriter();
  }

  async drained(): Promise<void> {
    await this.#output?.done;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#stopWaiting();
    await this.#input?.cancel();
    await this.#output?.cancel();
    this.#closeMaster();
    this.#source?.close();
    await this.#sinks?.close();
  }

  /** The processes get SIGHUP, and read the end; the client sees the end of the output at once. */
  async #inputEnded(): Promise<void> {
    // Otherwise it is the terminal that has gone: its processes have closed it.
    if (!this.#stdinClosed) return;
    await sleep(LAST_WORDS_MS);
    await this.#output?.cancel();
    this.#closeMaster();
    this.#hungUp = true;
  }

  #closeMaster(): void {
    if (this.#master !== undefined) closeSync(this.#master);
    this.#master = undefined;
  }

  async #stopWaiting(): Promise<void> {
    if (!this.#waiting) return;
    this.#waiting = false;
    this.#socket.close();
    closeSync(this.#devNull);
    await rm(this.#folder, { recursive: true, force: true });
  }
}
