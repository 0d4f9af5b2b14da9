/**
 * The local agent's API, over its unix socket.
 */
import * as grpc from "@grpc/grpc-js";
import { pclive } from "#protos/agent";
import { CliError } from "./exit.js";

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}
interface Decoder<T> {
  decode(bytes: Uint8Array): T;
}
const api = pclive.agent.v1;
const PATH = "/pclive.agent.v1.Agent/";

/** How long a unary call may take. Check and Cancel ask the peer, which has bounds of its own. */
const UNARY_TIMEOUT_MS = 60_000;

export class AgentClient {
  private readonly client: grpc.Client;

  constructor(private readonly socketPath: string) {
    this.client = new grpc.Client(`unix://${socketPath}`, grpc.credentials.createInsecure());
  }

  check(request: pclive.agent.v1.ICheckRequest): Promise<pclive.agent.v1.CheckReport> {
    return this.unary("Check", api.CheckRequest, api.CheckReport, request);
  }

  status(request: pclive.agent.v1.IStatusRequest): Promise<pclive.agent.v1.StatusReport> {
    return this.unary("Status", api.StatusRequest, api.StatusReport, request);
  }

  cancel(request: pclive.agent.v1.ICancelRequest): Promise<pclive.agent.v1.CancelReply> {
    return this.unary("Cancel", api.CancelRequest, api.CancelReply, request);
  }

  restore(
    request: pclive.agent.v1.IRestoreRequest,
    timeoutMs: number,
  ): Promise<pclive.agent.v1.RestoreReport> {
    return this.unary("Restore", api.RestoreRequest, api.RestoreReport, request, timeoutMs);
  }

  protect(request: pclive.agent.v1.IProtectRequest): Promise<pclive.agent.v1.Protection> {
    return this.unary("Protect", api.ProtectRequest, api.Protection, request);
  }

  unprotect(request: pclive.agent.v1.IUnprotectRequest): Promise<pclive.agent.v1.Protection> {
    return this.unary("Unprotect", api.UnprotectRequest, api.Protection, request);
  }

  protections(): Promise<pclive.agent.v1.ProtectionList> {
    return this.unary("Protections", api.ProtectionsRequest, api.ProtectionList, {});
  }

  failover(
    request: pclive.agent.v1.IFailoverRequest,
    timeoutMs: number,
  ): Promise<pclive.agent.v1.RestoreReport> {
    return this.unary("Failover", api.FailoverRequest, api.RestoreReport, request, timeoutMs);
  }

  images(): Promise<pclive.agent.v1.ImageList> {
    return this.unary("Images", api.ImagesRequest, api.ImageList, {});
  }

  removeImage(request: pclive.agent.v1.IRemoveImageRequest): Promise<pclive.agent.v1.CachedImage> {
    return this.unary("RemoveImage", api.RemoveImageRequest, api.CachedImage, request);
  }

  /** Takes a checkpoint and yields its events until the report or the failure. Leaving the loop early gives it up. */
  checkpoint(request: pclive.agent.v1.ICheckpointRequest): AsyncGenerator<pclive.agent.v1.CheckpointEvent> {
    return this.stream("Checkpoint", api.CheckpointRequest, api.CheckpointEvent, request);
  }

  /** Measures and yields its events until the report or the failure. Leaving the loop early ends the measurement. */
  dirtyRate(request: pclive.agent.v1.IDirtyRateRequest): AsyncGenerator<pclive.agent.v1.DirtyRateEvent> {
    return this.stream("DirtyRate", api.DirtyRateRequest, api.DirtyRateEvent, request);
  }

  /**
   * Starts a migration and yields its events until the report or the failure.
   * Leaving the loop early does not end the migration: use `cancel`.
   */
  migrate(request: pclive.agent.v1.IMigrateRequest): AsyncGenerator<pclive.agent.v1.MigrateEvent> {
    return this.stream("Migrate", api.MigrateRequest, api.MigrateEvent, request);
  }

  close(): void {
    this.client.close();
  }

  private async *stream<I, Q extends I, R>(
    method: string,
    request: Encoder<Q> & { create(properties?: I): Q },
    response: Decoder<R>,
    message: I,
  ): AsyncGenerator<R> {
    const stream = this.client.makeServerStreamRequest(
      PATH + method,
      serializer(request),
      deserializer(response),
      request.create(message),
      new grpc.Metadata(),
      {},
    );
    // What comes after we have left the loop is nobody's.
    stream.on("error", () => undefined);
    try {
      for await (const event of stream) yield event as R;
    } catch (error) {
      throw this.translate(error as grpc.ServiceError);
    } finally {
      // Or the command would hang on the stream, which the agent keeps as long as it has something to do.
      stream.cancel();
    }
  }

  private unary<I, Q extends I, R>(
    method: string,
    request: Encoder<Q> & { create(properties?: I): Q },
    response: Decoder<R>,
    message: I,
    timeoutMs = UNARY_TIMEOUT_MS,
  ): Promise<R> {
    return new Promise((resolve, reject) => {
      this.client.makeUnaryRequest(
        PATH + method,
        serializer(request),
        deserializer(response),
        request.create(message),
        new grpc.Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, value) => {
          if (error !== null) reject(this.translate(error));
          else if (value === undefined)
            reject(new CliError("INTERNAL", "the agent gave an empty answer", ""));
          else resolve(value);
        },
      );
    });
  }

  private translate(error: grpc.ServiceError): CliError {
    if (error.code === grpc.status.UNAVAILABLE) {
      return new CliError(
        "AGENT_UNREACHABLE",
        `no agent answers at ${this.socketPath}`,
        "start it with `systemctl start pclived`, or name its socket with --agent",
      );
    }
    const code = String(error.metadata?.get("pclive-code")[0] ?? grpc.status[error.code] ?? "FAILED");
    const remedy = String(error.metadata?.get("pclive-remedy")[0] ?? "");
    return new CliError(code, error.details || error.message, remedy);
  }
}

function serializer<T>(type: Encoder<T>): (message: T) => Buffer {
  return (message) => Buffer.from(type.encode(message).finish());
}

function deserializer<T>(type: Decoder<T>): (bytes: Buffer) => T {
  return (bytes) => type.decode(bytes);
}
