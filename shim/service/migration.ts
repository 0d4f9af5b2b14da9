/** The migration service's methods; its code and its messages are loaded with the first call, most shims never need it. */
import { type CallContext, type Methods, unary } from "#ttrpc";
import type { ShimHost } from "../container/migratable.js";

const NAMES = [
  "SourceBegin",
  "SourceRound",
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

/** Messages pass undecoded: the service itself knows their types. */
const Bytes = {
  encode: (bytes: Uint8Array) => ({ finish: () => bytes }),
  decode: (bytes: Uint8Array) => bytes,
};

export function migrationMethods(host: ShimHost): Methods {
  let loaded: Promise<Methods> | undefined;
  const load = () => {
    loaded ??= import("../migration/index.js").then((module) => module.migrationService(host));
    return loaded;
  };
  const lazy = (name: string) =>
    unary(Bytes, Bytes, async (bytes: Uint8Array, context: CallContext) => {
      const method = (await load())[name];
      if (!method) throw new Error(`the migration service has no ${name}`);
      const answer = await method.handler(method.request.decode(bytes) as never, context as never);
      return method.response.encode(answer).finish();
    });
  return Object.fromEntries(NAMES.map((name) => [name, lazy(name)]));
}
