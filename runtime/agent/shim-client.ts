/**
 * Our own services of a container's shim, over its own socket. The connection is the lease: closing it before the
 * commit makes the shim undo what it did.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pclive } from "#protos/agent";
import { Client, Code, type MessageType, type ServiceClient, TtrpcError } from "#ttrpc";
import { MigrationError } from "../migration/error.js";
import type { Config } from "./config.js";
import { AgentError } from "./errors.js";

const api = pclive.shim.v1;

function unary<Q extends MessageType, S extends MessageType>(request: Q, response: S) {
  return { request, response };
}

const METHODS = {
  SourceBegin: unary(api.SourceBeginRequest, api.SourceBeginResponse),
  SourceRound: unary(api.MigrationRequest, api.RoundReport),
  SourceThrottle: unary(api.ThrottleRequest, api.ThrottleReport),
  SourceSwitchover: unary(api.SwitchoverRequest, api.SwitchoverReport),
  SourceFrozen: unary(api.MigrationRequest, api.FrozenReport),
  SourceFilesSent: unary(api.MigrationRequest, api.Done),
  SourceCommit: unary(api.MigrationRequest, api.HandoverState),
  SourceFinish: unary(api.MigrationRequest, api.HandoverState),
  SourceRollback: unary(api.RollbackRequest, api.HandoverState),
  DestinationPrepare: unary(api.DestinationPrepareRequest, api.DestinationPrepareResponse),
  DestinationReady: unary(api.MigrationRequest, api.ReadyReport),
  DestinationRelease: unary(api.MigrationRequest, api.RunningReport),
  DestinationAbort: unary(api.RollbackRequest, api.HandoverState),
  Progress: unary(api.MigrationRequest, api.ProgressReport),
  State: unary(api.MigrationRequest, api.HandoverState),
};

const CHECKPOINTS = {
  Take: unary(api.TakeRequest, api.TakeReport),
  TakeProgress: unary(api.TakeProgressRequest, api.TakeProgressReport),
};

const MEASUREMENTS = {
  Begin: unary(api.MeasureRequest, api.MeasureBegun),
  Look: unary(api.MeasuredContainer, api.LookReport),
  End: unary(api.MeasuredContainer, api.Done),
};

export type ShimService = ServiceClient<typeof METHODS>;

/** The folder that containerd and the shim share for one task. */
export function bundlePath(config: Config, namespace: string, id: string): string {
  return join(config.containerd.state, "io.containerd.runtime.v2.task", namespace, id);
}

export class ShimClient {
  private constructor(
    private readonly client: Client,
    readonly service: ShimService,
    readonly checkpoints: ServiceClient<typeof CHECKPOINTS>,
    readonly measurements: ServiceClient<typeof MEASUREMENTS>,
  ) {}

  /** @throws AgentError SHIM when the shim is gone */
  static async connect(config: Config, namespace: string, id: string): Promise<ShimClient> {
    const file = join(bundlePath(config, namespace, id), "address");
    try {
      const address = (await readFile(file, "utf8")).trim();
      if (!/^unix:\/\/\/[^\0]{1,107}$/.test(address)) throw new Error(`${file} holds no unix socket`);
      const client = await Client.connect(address.slice("unix://".length), { connectTimeoutMs: 5000 });
      return new ShimClient(
        client,
        client.service("pclive.shim.v1.Migration", METHODS),
        client.service("pclive.shim.v1.Checkpoints", CHECKPOINTS),
        client.service("pclive.shim.v1.Measurements", MEASUREMENTS),
      );
    } catch (error) {
      throw new AgentError("SHIM", `the shim of ${id} does not answer: ${(error as Error).message}`, {
        remedy: "the container is gone or its shim has ended: look at containerd's log",
        cause: error,
      });
    }
  }

  /** Aborted when the shim is gone. */
  get closed(): AbortSignal {
    return this.client.closed;
  }

  close(): void {
    this.client.close();
  }
}

/** A shim's refusal: code, message, remedy and logs travel in the text of its status. */
export function fromShim(error: unknown): AgentError {
  if (!(error instanceof TtrpcError)) return AgentError.from(error, "SHIM");
  if (error.code === Code.UNAVAILABLE) {
    return new AgentError("SHIM", `the shim is gone: ${error.message}`, {
      remedy: "look at containerd's log",
      cause: error,
    });
  }
  const { code, message, remedy, logs } = MigrationError.fromWire(error.message);
  return new AgentError(code === "cancelled" ? "CANCELLED" : code, message, { remedy, logs, cause: error });
}
