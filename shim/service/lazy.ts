/** Services of our own: their code and messages are loaded with the first call, which most shims never get. */
import { type CallContext, type Methods, unary } from "#ttrpc";
import type { ShimEnv } from "../container/env.js";
import type { ShimHost } from "../container/migratable.js";
import type { Registry } from "./registry.js";

const MIGRATION = [
  "SourceBegin",
  "SourceRound",
  "SourceThrottle",
  "SourceSwitchover",
  "SourceFrozen",
  "SourceFilesSent",
  "SourceCommit",
  "SourceFinish",
  "SourceRollback",
  "DestinationPrepare",
  "DestinationReady",
  "DestinationRelease",
  "DestinationAbort",
  "Progress",
  "State",
] as const;

const CHECKPOINTS = ["Take", "TakeProgress"] as const;
const MEASUREMENTS = ["Begin", "Look", "End"] as const;

/** Messages pass undecoded: the service itself knows their types. */
const Bytes = {
  encode: (bytes: Uint8Array) => ({ finish: () => bytes }),
  decode: (bytes: Uint8Array) => bytes,
};

export function migrationMethods(host: ShimHost): Methods {
  return lazily(MIGRATION, async () => (await import("../migration/index.js")).migrationService(host));
}

export function checkpointMethods(env: ShimEnv, containers: Registry): Methods {
  return lazily(CHECKPOINTS, async () =>
    (await import("../checkpoint/service.js")).checkpointService(env, containers),
  );
}

export function measureMethods(env: ShimEnv, containers: Registry): Methods {
  return lazily(MEASUREMENTS, async () =>
    (await import("../measure/service.js")).measureService(env, containers),
  );
}

function lazily(names: readonly string[], make: () => Promise<Methods>): Methods {
  let loaded: Promise<Methods> | undefined;
  const lazy = (name: string) =>
    unary(Bytes, Bytes, async (bytes: Uint8Array, context: CallContext) => {
      loaded ??= make();
      const method = (await loaded)[name];
      if (!method) throw new Error(`the service has no ${name}`);
      const answer = await method.handler(method.request.decode(bytes) as never, context as never);
      return method.response.encode(answer).finish();
    });
  return Object.fromEntries(names.map((name) => [name, lazy(name)]));
}
