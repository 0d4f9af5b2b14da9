/**
 * The shim's socket. Clients can connect from the first moment on; what they say waits until the server, which takes
 * longer to load than containerd to connect, lets them in.
 */
import { connectUnix, listenUnix, type UnixListener, type UnixSocket } from "#addon";
import type { Transport } from "#ttrpc";

/** containerd makes one connection, agents a few: more than this before there is a server is nobody we serve. */
const MAX_WAITING = 64;

export class Entrance {
  readonly #waiting: UnixSocket[] = [];
  readonly #listener: UnixListener;
  #enter = (socket: UnixSocket) => this.#wait(socket);
  #failed = (_: Error) => {};

  private constructor(where: string | number) {
    this.#listener = listenUnix(
      where,
      (socket) => this.#enter(socket),
      (error) => this.#failed(error),
    );
  }

  /** @throws the system's error, e.g. EADDRINUSE */
  static at(path: string): Entrance {
    // Only our own user may connect.
    const umask = process.umask(0o177);
    try {
      return new Entrance(path);
    } finally {
      process.umask(umask);
    }
  }

  /** One that the launcher has made. */
  static inherited(fd: number): Entrance {
    return new Entrance(fd);
  }

  /** The shim's ttrpc: its server listens here, its clients connect by the addon's sockets, too. */
  transport(): Transport {
    return {
      connect: connectUnix,
      listen: async (_, onConnection, onError) => {
        this.#enter = (socket) => onConnection(socket, socket.fd);
        this.#failed = onError;
        for (const socket of this.#waiting.splice(0)) this.#enter(socket);
        return this.#listener;
      },
    };
  }

  /** Accepts no more and removes the path. */
  close(): Promise<void> {
    return this.#listener.close();
  }

  #wait(socket: UnixSocket): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(socket);
    else socket.destroy();
  }
}
