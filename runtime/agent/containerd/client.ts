/**
 * containerd's gRPC API over its unix socket, one namespace at a time.
 */
import { Client, credentials, Metadata, status } from "@grpc/grpc-js";
import { AgentError } from "../errors.js";
import { type CallContext, call, type Method } from "../grpc/method.js";
import { rpc } from "./methods.js";

/** containerd's own bound on messages. */
const MESSAGE_BYTES = 16 * 1024 * 1024;

export class Containerd {
  readonly client: Client;

  constructor(readonly address: string) {
    this.client = new Client(`unix://${address}`, credentials.createInsecure(), {
      "grpc.max_receive_message_length": MESSAGE_BYTES,
      "grpc.max_send_message_length": MESSAGE_BYTES,
      // containerd may be restarted under us: come back soon, not after two minutes of back-off.
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2000,
    });
  }

  namespace(name: string, lease?: string): Namespace {
    return new Namespace(this, name, lease);
  }

  /** Names of all namespaces. */
  async namespaces(): Promise<string[]> {
    const { namespaces } = await this.unary(rpc.namespaces.list, {}, {});
    return namespaces.map((one) => one.name ?? "").filter((name) => name !== "");
  }

  /** Creates the namespace unless it exists. */
  async ensureNamespace(name: string): Promise<void> {
    // containerd publishes an event of it, and wants that event to have a namespace: its own.
    const request = this.namespace(name).call(rpc.namespaces.create, { namespace: { name } });
    await request.catch(unless(isAlreadyThere));
  }

  async unary<I, O, R, S>(m: Method<I, O, R, S>, message: I, context: CallContext): Promise<S> {
    try {
      return await call(this.client, m, message, context);
    } catch (error) {
      throw describe(error, m.path, this.address);
    }
  }

  close(): void {
    this.client.close();
  }
}

/** Calls in one namespace, by default under a lease that keeps what they make from being collected. */
export class Namespace {
  constructor(
    readonly containerd: Containerd,
    readonly name: string,
    readonly lease?: string,
  ) {}

  withLease(lease: string): Namespace {
    return new Namespace(this.containerd, this.name, lease);
  }

  metadata(): Metadata {
    const metadata = new Metadata();
    metadata.set("containerd-namespace", this.name);
    if (this.lease !== undefined) metadata.set("containerd-lease", this.lease);
    return metadata;
  }

  call<I, O, R, S>(
    m: Method<I, O, R, S>,
    message: I,
    options: { timeoutMs?: number; signal?: AbortSignal } = {},
  ): Promise<S> {
    return this.containerd.unary(m, message, { ...options, metadata: this.metadata() });
  }
}

/** An error of containerd that keeps gRPC's status. */
export class ContainerdError extends AgentError {
  constructor(
    readonly grpcStatus: status,
    message: string,
    options: { remedy?: string; cause?: unknown } = {},
  ) {
    super("CONTAINERD", message, options);
    this.name = "ContainerdError";
  }
}

export function describe(error: unknown, path: string, address: string): AgentError {
  const known = error as { code?: unknown; details?: string; message?: string };
  if (typeof known.code !== "number") return AgentError.from(error, "CONTAINERD");
  const what = path.slice(path.lastIndexOf(".") + 1);
  if (known.code === status.UNAVAILABLE) {
    return new ContainerdError(
      known.code,
      `containerd does not answer at ${address}: ${known.details ?? ""}`,
      {
        remedy: "check that containerd runs and that containerd.address in the configuration is right",
        cause: error,
      },
    );
  }
  return new ContainerdError(known.code, `containerd: ${what}: ${known.details ?? known.message ?? ""}`, {
    cause: error,
  });
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ContainerdError && error.grpcStatus === status.NOT_FOUND;
}

export function isAlreadyThere(error: unknown): boolean {
  return error instanceof ContainerdError && error.grpcStatus === status.ALREADY_EXISTS;
}

/** For `.catch`: swallows errors for which `harmless` holds. */
export function unless(harmless: (error: unknown) => boolean): (error: unknown) => undefined {
  return (error) => {
    if (!harmless(error)) throw error;
    return undefined;
  };
}
