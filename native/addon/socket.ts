/**
 * Unix stream sockets with the part of node:net's interface that a message protocol needs, for who cannot wait until
 * that module is loaded.
 */
import { EventEmitter } from "node:events";
import { type Binding, binding } from "./binding.js";
import { checkFd, checkText } from "./check.js";

type Raw = ReturnType<Binding["connectSocket"]>;

/** As with Node's: so much may wait to go out before "drain" is worth waiting for. */
const HIGH_WATER_BYTES = 16 * 1024;

/** Emits "data" (Buffer), "end" (of the peer's), "drain", "close", and "connect" or "error" of a connection begun here. */
export class UnixSocket extends EventEmitter {
  readonly #raw: Raw;
  #waiting = 0;
  #needDrain = false;
  #state: "open" | "ended" | "closed" = "open";

  constructor(raw: Raw) {
    super();
    this.#raw = raw;
    raw.open({
      data: (bytes) => this.emit("data", bytes),
      end: () => {
        if (this.#state === "open") this.#state = "ended";
        this.emit("end");
      },
      drain: () => {
        this.#waiting = 0;
        this.#needDrain = false;
        this.emit("drain");
      },
      closed: () => {
        this.#state = "closed";
        this.emit("close");
      },
    });
  }

  /** -1 before it is connected. */
  get fd(): number {
    return this.#raw.fd;
  }

  get writable(): boolean {
    return this.#state === "open";
  }

  /** bytes written that have not gone out */
  get writableLength(): number {
    return this.#waiting;
  }

  get writableNeedDrain(): boolean {
    return this.#needDrain;
  }

  write(bytes: Uint8Array): void {
    if (this.#state !== "open") return;
    this.#waiting = this.#raw.write(bytes);
    this.#needDrain = this.#waiting >= HIGH_WATER_BYTES;
  }

  /** What is written still goes out; then it closes, once the peer has ended too. */
  end(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#raw.end();
  }

  destroy(): void {
    if (this.#state === "open") this.#state = "ended";
    this.#raw.destroy();
  }

  pause(): void {
    this.#raw.pause();
  }

  /** Nothing is read before the first call. */
  resume(): void {
    this.#raw.resume();
  }
}

/** The socket emits "connect", or "error" and is closed then. */
export function connectUnix(path: string): UnixSocket {
  checkText("path", path);
  const socket = new UnixSocket(
    binding.connectSocket(path, (error) => {
      if (error === null) {
        socket.emit("connect");
        return;
      }
      socket.emit("error", error);
      socket.destroy();
    }),
  );
  return socket;
}

export interface UnixListener {
  /** Accepts no more and removes the path; resolves when that is done. */
  close(): Promise<void>;
}

/**
 * @param where a path, or the descriptor of a socket that listens already
 * @param onConnection gets each new connection, not yet read from
 * @param onError of an accept
 * @throws system errors, e.g. EADDRINUSE
 */
export function listenUnix(
  where: string | number,
  onConnection: (socket: UnixSocket) => void,
  onError: (error: Error) => void,
): UnixListener {
  if (typeof where === "string") checkText("path", where);
  else checkFd("descriptor", where);
  let closed = () => {};
  const done = new Promise<void>((resolve) => {
    closed = resolve;
  });
  const close = binding.listenSocket(
    where,
    (error, raw) => (raw ? onConnection(new UnixSocket(raw)) : onError(error as Error)),
    () => closed(),
  );
  return {
    close: () => {
      close();
      return done;
    },
  };
}
