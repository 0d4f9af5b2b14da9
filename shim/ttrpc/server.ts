import { Code, TtrpcError } from "./errors.js";
import { ServerConnection } from "./server-connection.js";
import type { CallContext, Method, Methods } from "./service.js";
import { checkSocketPath } from "./socket-path.js";
import { type ByteSocket, currentTransport, type ListenAddress, type Listener } from "./transport.js";

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

export class Server {
  readonly #options: ServerOptions;
  readonly #services = new Map<string, ReadonlyMap<string, Method>>();
  readonly #connections = new Set<ServerConnection>();
  #listener: Listener | undefined;
  #accepted = 0;

  constructor(options: ServerOptions = {}) {
    this.#options = options;
  }

  /** Serves the methods under a service's full name; adding the name again replaces it. */
  addService(name: string, methods: Methods): void {
    this.#services.set(name, new Map(Object.entries(methods)));
  }

  /** Resolves when clients can connect. Rejects with the system's error, e.g. EADDRINUSE, or a TtrpcError for a path that is too long. */
  async listen(address: ListenAddress): Promise<void> {
    if ("path" in address) checkSocketPath(address.path);
    const { listen } = await currentTransport();
    this.#listener = await listen(
      address,
      (socket, fd) => this.#accept(socket, fd),
      (error) => this.#options.onRefused?.(error),
    );
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
    const stopped = this.#listener?.close();
    const open = [...this.#connections];
    const closed = open.map(({ closed }) => new Promise((resolve) => onAbort(closed, resolve)));
    for (const connection of open) connection.end(graceMs);
    await Promise.all([stopped, ...closed]);
  }

  #accept(socket: ByteSocket, fd: number): void {
    let peer: unknown;
    try {
      peer = this.#options.authorize?.(fd);
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

function onAbort(signal: AbortSignal, then: (value: unknown) => void): void {
  if (signal.aborted) then(undefined);
  else signal.addEventListener("abort", then, { once: true });
}
