/** The migration service's methods; its code is loaded with the first call, most shims never need it. */
import { pclive } from "#protos/shim";
import {
  type CallContext,
  Code,
  type Decoded,
  type MessageType,
  type Methods,
  TtrpcError,
  unary,
} from "#ttrpc";
import type { ShimHost } from "../container/migratable.js";

const api = pclive.shim.v1;

export function migrationMethods(host: ShimHost): Methods {
  let loaded: Promise<Methods> | undefined;
  const load = async () => {
    loaded ??= import("../migration/index.js").then((module) => module.migrationService(host));
    return loaded;
  };
  const lazy = <Q extends MessageType, S extends MessageType>(name: string, request: Q, response: S) => ({
    [name]: unary(request, response, async (message: Decoded<Q>, context: CallContext) => {
      const method = (await load())[name];
      if (!method) throw new TtrpcError(Code.UNIMPLEMENTED, `method ${name}`);
      return method.handler(message as never, context) as Promise<Parameters<S["encode"]>[0]>;
    }),
  });
  return {
    ...lazy("SourceBegin", api.SourceBeginRequest, api.SourceBeginResponse),
    ...lazy("SourceRound", api.MigrationRequest, api.RoundReport),
    ...lazy("SourceSwitchover", api.SwitchoverRequest, api.SwitchoverReport),
    ...lazy("SourceFrozen", api.MigrationRequest, api.FrozenReport),
    ...lazy("SourceFilesSent", api.MigrationRequest, api.Done),
    ...lazy("SourceCommit", api.MigrationRequest, api.HandoverState),
    ...lazy("SourceFinish", api.MigrationRequest, api.HandoverState),
    ...lazy("SourceRollback", api.RollbackRequest, api.HandoverState),
    ...lazy("DestinationPrepare", api.DestinationPrepareRequest, api.DestinationPrepareResponse),
    ...lazy("DestinationReady", api.MigrationRequest, api.ReadyReport),
    ...lazy("DestinationRelease", api.MigrationRequest, api.RunningReport),
    ...lazy("DestinationAbort", api.RollbackRequest, api.HandoverState),
    ...lazy("Progress", api.MigrationRequest, api.ProgressReport),
    ...lazy("State", api.MigrationRequest, api.HandoverState),
  };
}
