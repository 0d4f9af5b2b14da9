/** What carries the bytes: Node's net, unless the program brings something of its own. */

/** The part of a net.Socket that the protocol needs. */
export interface ByteSocket {
  readonly writable: boolean;
  /** bytes written that have not gone out */
  readonly writableLength: number;
  readonly writableNeedDrain: boolean;
  write(bytes: Uint8Array): unknown;
  /** What is written still goes out; then it closes, once the peer has ended too. */
  end(): unknown;
  destroy(): unknown;
  pause(): unknown;
  resume(): unknown;
  on(event: "data", listener: (chunk: Buffer) => void): unknown;
  on(event: "end" | "drain" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  once(event: "connect" | "close", listener: () => void): unknown;
  once(event: "error", listener: (error: Error) => void): unknown;
  removeAllListeners(event: "error"): unknown;
}

/** Where to listen: a path to bind, or a socket that is bound already. */
export type ListenAddress = { readonly path: string } | { readonly fd: number };

export interface Listener {
  /** Accepts no more; resolves when the connections are closed too, or at once if the transport does not know them. */
  close(): Promise<void>;
}

export interface Transport {
  /**
   * @param onConnection gets each connection, not yet read from, and its descriptor
   * @param onError of an accept
   * @throws the system's error, e.g. EADDRINUSE
   */
  listen(
    address: ListenAddress,
    onConnection: (socket: ByteSocket, fd: number) => void,
    onError: (error: Error) => void,
  ): Promise<Listener>;
  /** The socket emits "connect", or "error". */
  connect(path: string): ByteSocket;
}

let chosen: Transport | undefined;

/** From now on servers and clients of this process use another transport than Node's net, which is then never loaded. */
export function useTransport(transport: Transport): void {
  chosen = transport;
}

export async function currentTransport(): Promise<Transport> {
  return chosen ?? (await import("./net-transport.js")).NET;
}
