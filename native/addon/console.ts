import { chmodSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { binding } from "./binding.js";
import { checkAbsolute } from "./check.js";

/** Longest path that fits a unix socket's address, in bytes. */
const MAX_PATH = 107;
const RETRY_MS = 2;

/** Listens on a unix socket for one connection that hands over a terminal's master: the --console-socket of runC. */
export class ConsoleSocket {
  readonly #server: Server;
  readonly #connection: Promise<Socket>;

  private constructor(
    readonly path: string,
    server: Server,
  ) {
    this.#server = server;
    this.#connection = new Promise((resolve) => server.once("connection", resolve));
  }

  /** @param path absolute, at most 107 bytes, in a folder that only its owner may enter; must not exist yet */
  static async listen(path: string): Promise<ConsoleSocket> {
    checkAbsolute("path", path);
    if (Buffer.byteLength(path) > MAX_PATH)
      throw new TypeError(`path is longer than ${MAX_PATH} bytes: ${path}`);
    // Paused: Node would read the message and drop the descriptor in it.
    const server = createServer({ pauseOnConnect: true });
    server.maxConnections = 1;
    const console = new ConsoleSocket(path, server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
    return console;
  }

  /**
   * The terminal's master, closed on exec; the caller's to close. Call it once.
   * @throws Error with code ETIMEDOUT after `timeoutMs`, or a system error when the peer sent something else
   */
  async receive(timeoutMs: number): Promise<number> {
    const deadline = Date.now() + timeoutMs;
    const timeout = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: timeout.signal });
    try {
      const socket = await Promise.race([this.#connection, late]);
      if (socket === undefined) throw timedOut(this.path, timeoutMs);
      try {
        return await receiveFrom(socket, deadline, () => timedOut(this.path, timeoutMs));
      } finally {
        socket.destroy();
      }
    } finally {
      late.catch(() => {});
      timeout.abort();
    }
  }

  /** Stops listening and takes the socket's file away. */
  close(): void {
    this.#server.close();
    this.#connection.then((socket) => socket.destroy()).catch(() => {});
  }
}

async function receiveFrom(socket: Socket, deadline: number, late: () => Error): Promise<number> {
  const fd = (socket as unknown as { _handle: { fd: number } })._handle.fd;
  for (;;) {
    const received = binding.tryReceiveFd(fd);
    if (received !== null) return received;
    if (Date.now() >= deadline) throw late();
    // The message follows its connection at once; waiting in steps spares a thread.
    await sleep(RETRY_MS);
  }
}

function timedOut(path: string, timeoutMs: number): Error {
  return Object.assign(new Error(`no terminal arrived at ${path} within ${timeoutMs} ms`), {
    code: "ETIMEDOUT",
  });
}
