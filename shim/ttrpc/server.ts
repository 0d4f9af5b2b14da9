import { createServer, type Server as NetServer, type Socket } from "node:net";
import { Code, TtrpcError } from "./errors.js";
import { ServerConnection } from "./server-connection.js";
import type { CallContext, Method, Methods } from "./service.js";
import { checkSocketPath } from "./socket-path.js";

export interface ServerOptions {
  /**
   * Called with the descriptor of each new connection, before anything is read from it. What it throws closes the
   * connection, what it returns is {@link Connection.peer}. The place to check the peer's credentials.
   */
  readonly authorize?: (fd: number) => unknown;
  /** A connection was refused by `authorize`. */
  readonly onRefused?: (error: unknown) => void;
  /** A call was answered with an error: for the log. */
  readonly onCallFailed?: (error: TtrpcError, context: CallContext) => void;
  /** calls without an answer yet, on one connection (default 16384); further ones are refused */
  readonly maxCalls?: number;
  /** bytes that may wait for the handler of one stream (default 16 MiB) */
  readonly maxQueuedBytes?: number;
  /** bytes that requests and waiting messages of one connection may take, about as decoded (default 64 MiB) */
  readonly maxHeldBytes?: number;
}

/** Where to listen: a path to bind, or a socket that is bound already. */
export type ListenAddress = { readonly path: string } | { readonly fd: number };

export class Server {
  readonly #options: ServerOptions;
  readonly #services = new Map<string, ReadonlyMap<string, Method>>();
  readonly #connections = new Set<ServerConnection>();
  readonly #net: NetServer;
  #accepted = 0;

  constructor(options: ServerOptions = {}) {
    this.#options = options;
    this.#net = createServer((socket) => this.#accept(socket));
  }

  /** Serves the methods under a service's full name; adding the name again replaces it. */
  addService(name: string, methods: Methods): void {
    this.#services.set(name, new Map(Object.entries(methods)));
  }

  /** Resolves when clients can connect. Rejects with the system's error, e.g. EADDRINUSE, or a TtrpcError for a path that is too long. */
  async listen(address: ListenAddress): Promise<void> {
    if ("path" in address) checkSocketPath(address.path);
    await new Promise<void>((resolve, reject) => {
      this.#net.once("error", reject);
      this.#net.listen(address, () => {
        this.#net.off("error", reject);
        // Running out of descriptors fails one accept, not the server.
        this.#net.on("error", (error) => this.#options.onRefused?.(error));
        resolve();
      });
    });
  }

  get connections(): number {
    return this.#connections.size;
  }

  get activeCalls(): number {
    let sum = 0;
    for (const connection of this.#connections) sum += connection.activeCalls;
    return sum;
  }

  /**
   * Stops accepting, ends all connections once what is written has gone out, and resolves when all are closed.
   * Calls still under way are cancelled.
   * @param graceMs time that a client has to take its last answers, in ms
   */
  async close(graceMs = 1000): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#net.close(() => resolve()));
    for (const connection of this.#connections) connection.end(graceMs);
    await closed;
  }

  #accept(socket: Socket): void {
    let peer: unknown;
    try {
      peer = this.#options.authorize?.(descriptorOf(socket));
    } catch (error) {
      socket.destroy();
      this.#options.onRefused?.(error);
      return;
    }
    this.#accepted += 1;
    const connection = new ServerConnection(socket, this.#accepted, peer, {
      find: (service, method) => this.#find(service, method),
      onCallFailed: (error, context) => this.#options.onCallFailed?.(error, context),
      maxCalls: this.#options.maxCalls ?? 16_384,
      maxQueuedBytes: this.#options.maxQueuedBytes ?? 16 << 20,
      maxHeldBytes: this.#options.maxHeldBytes ?? 64 << 20,
    });
    this.#connections.add(connection);
    connection.closed.addEventListener("abort", () => this.#connections.delete(connection), { once: true });
  }

  #find(service: string, method: string): Method {
    const methods = this.#services.get(service);
    if (methods === undefined) throw new TtrpcError(Code.UNIMPLEMENTED, `service ${service}`);
    const found = methods.get(method);
    if (found === undefined) throw new TtrpcError(Code.UNIMPLEMENTED, `method ${service}/${method}`);
    return found;
  }
}

/** Node has no public way to a socket's descriptor, and credentials can be had by descriptor only. */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle?: { fd?: number } })._handle;
  const fd = handle?.fd;
  if (typeof fd !== "number" || fd < 0) throw new Error("the connection has no descriptor");
  return fd;
}
