/** The methods of pclive.shim.v1.Migration: requests are checked, handed to the executors, and answered. */
import { pclive } from "#protos/migration";
import { type CallContext, type Methods, TtrpcError, unary } from "#ttrpc";
import {
  DestinationMigration,
  type HandoverRecord,
  HandoverStore,
  MigrationError,
  PAGE_BYTES,
  type Places,
  SourceMigration,
} from "../../runtime/migration/index.js";
import { toWire } from "../../runtime/trace/wire.js";
import type { ShimHost } from "../container/migratable.js";
import { destinationContainer, sourceContainer } from "./containers.js";
import { MigrationRegistry } from "./registry.js";
import {
  type DestinationRequest,
  destinationRequest,
  endRequest,
  plainRequest,
  type SourceRequest,
  sourceRequest,
  switchoverRequest,
  throttleRequest,
  tokenText,
} from "./requests.js";
import { statusOf } from "./status.js";

const api = pclive.shim.v1;
/** Nothing in a round touches the freezer: tracking stops single processes for attachMs, and that is reported. */
const NEVER_FROZEN_MS = 0;

/** Where records, scratch folders and logs are; by default those of docs/dev/interfaces.md. */
export interface ServicePlaces {
  readonly records?: HandoverStore;
  readonly places?: Places;
}

export function migrationService(host: ShimHost, where: ServicePlaces = {}): Methods {
  const service = new Service(host, where);
  const { MigrationRequest, RollbackRequest, HandoverState } = api;
  return {
    SourceBegin: unary(api.SourceBeginRequest, api.SourceBeginResponse, (message, context) =>
      service.call(message.migration, () => service.sourceBegin(sourceRequest(message), context)),
    ),
    SourceRound: unary(MigrationRequest, api.RoundReport, (message) =>
      service.call(message.migration, () => service.sourceRound(plainRequest(message))),
    ),
    SourceThrottle: unary(api.ThrottleRequest, api.ThrottleReport, (message) =>
      service.call(message.migration, async () => {
        const request = throttleRequest(message);
        return { cpus: await service.source(request).throttle(request.share) };
      }),
    ),
    SourceSwitchover: unary(api.SwitchoverRequest, api.SwitchoverReport, (message) =>
      service.call(message.migration, () => {
        const request = switchoverRequest(message);
        return service.source(request).switchover(request.waitForFiles);
      }),
    ),
    SourceFrozen: unary(MigrationRequest, api.FrozenReport, (message) =>
      service.call(message.migration, async () => {
        const { frozenAt, pids } = await service.source(plainRequest(message)).frozen();
        return { frozenAt, pids: [...pids] };
      }),
    ),
    SourceFilesSent: unary(MigrationRequest, api.Done, (message) =>
      service.call(message.migration, async () => {
        service.source(plainRequest(message)).filesSent();
        return {};
      }),
    ),
    SourceCommit: unary(MigrationRequest, HandoverState, (message) =>
      service.call(message.migration, async () =>
        stateOf(await service.source(plainRequest(message)).commit()),
      ),
    ),
    SourceFinish: unary(MigrationRequest, HandoverState, (message) =>
      service.call(message.migration, async () => {
        const move = service.source(plainRequest(message));
        return { ...stateOf(await move.finish()), spans: toWire(move.spans) };
      }),
    ),
    SourceRollback: unary(RollbackRequest, HandoverState, (message) =>
      service.call(message.migration, () => service.giveUp("source", endRequest(message))),
    ),
    DestinationPrepare: unary(
      api.DestinationPrepareRequest,
      api.DestinationPrepareResponse,
      (message, context) =>
        service.call(message.migration, () =>
          service.destinationPrepare(destinationRequest(message), context),
        ),
    ),
    DestinationReady: unary(MigrationRequest, api.ReadyReport, (message) =>
      service.call(message.migration, () => service.destination(plainRequest(message)).ready()),
    ),
    DestinationRelease: unary(MigrationRequest, api.RunningReport, (message) =>
      service.call(message.migration, async () => {
        const move = service.destination(plainRequest(message));
        return { ...(await move.release()), spans: toWire(move.spans) };
      }),
    ),
    DestinationAbort: unary(RollbackRequest, HandoverState, (message) =>
      service.call(message.migration, () => service.giveUp("destination", endRequest(message))),
    ),
    Progress: unary(MigrationRequest, api.ProgressReport, (message) =>
      service.call(message.migration, async () => service.progress(plainRequest(message).migration)),
    ),
    State: unary(MigrationRequest, HandoverState, (message) =>
      service.call(message.migration, () => service.state(plainRequest(message).migration)),
    ),
  };
}

interface Which {
  readonly migration: string;
  readonly id: string;
}

class Service {
  readonly #records: HandoverStore;
  readonly #registry: MigrationRegistry;

  constructor(
    private readonly host: ShimHost,
    private readonly where: ServicePlaces,
  ) {
    this.#records = where.records ?? new HandoverStore();
    this.#registry = new MigrationRegistry(host);
  }

  /** Runs one method; errors get the form that docs/dev/interfaces.md promises. */
  async call<T>(migration: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (thrown) {
      const error = MigrationError.from(thrown);
      this.host.log.warn({ migration, code: error.code, logs: error.logs }, `migration: ${error.message}`);
      throw new TtrpcError(statusOf(error), error.toWire(), { cause: error });
    } finally {
      this.#registry.tidy(migration);
    }
  }

  source(which: Which): SourceMigration {
    return this.#registry.find(which.migration, which.id, "source").move;
  }

  destination(which: Which): DestinationMigration {
    return this.#registry.find(which.migration, which.id, "destination").move;
  }

  async sourceBegin(
    request: SourceRequest,
    context: CallContext,
  ): Promise<pclive.shim.v1.SourceBeginResponse.$Properties> {
    const { migration, strategy, host, port, tls, tracker, bandwidth, netns, trace } = request;
    const { streams, cpuPercent, headroomPercent } = request;
    const container = this.#registry.container(request.id);
    const move = new SourceMigration(sourceContainer(container), {
      migration,
      strategy,
      tracker,
      trace,
      streams,
      cpuPercent,
      headroomPercent,
      peer: { host, port, tls, token: tokenText(request.token) },
      libDir: this.host.libDir,
      records: this.#records,
      ...(this.where.places ? { places: this.where.places } : {}),
      ...(bandwidth > 0 ? { bandwidth } : {}),
      ...(netns ? { netns } : {}),
    });
    // Not after a checkpoint, which may take long, but not at all.
    await container.becomeIdle("begin a migration");
    // Not while a pause or an exec of the user is half done.
    await container.exclusive("begin a migration", async () => {
      this.#registry.addSource(migration, container, move, context.connection.closed);
      await container.endTracking();
    });
    const { pids, ...report } = await move.begin();
    return { ...report, pids: [...pids] };
  }

  async sourceRound(which: Which): Promise<pclive.shim.v1.RoundReport.$Properties> {
    const {
      areas: _areas,
      ranges: _ranges,
      attachedProcesses: _attached,
      anonymousBytes: _anonymous,
      knownPages,
      ...report
    } = await this.source(which).round();
    return { ...report, memoryBytes: knownPages * PAGE_BYTES, frozenMs: NEVER_FROZEN_MS };
  }

  async destinationPrepare(
    request: DestinationRequest,
    context: CallContext,
  ): Promise<pclive.shim.v1.DestinationPrepareResponse.$Properties> {
    const { migration, strategy, listenHost, tls, descriptorsJson, netns, trace, stageAfter, cpuPercent } =
      request;
    const container = this.#registry.container(request.id);
    const incoming = this.#registry.incoming(migration, container);
    const move = new DestinationMigration(destinationContainer(container, incoming), {
      migration,
      strategy,
      listen: { host: listenHost, token: tokenText(request.token), tls },
      descriptorsJson,
      trace,
      stageAfter,
      cpuPercent,
      libDir: this.host.libDir,
      records: this.#records,
      ...(this.where.places ? { places: this.where.places } : {}),
      ...(netns ? { netns } : {}),
    });
    this.#registry.addDestination(migration, container, move, context.connection.closed);
    return { port: await move.prepare() };
  }

  /** Rolls back, or aborts: whatever is still possible. The answer is what holds. */
  async giveUp(role: "source" | "destination", request: Which & { reason: string }): Promise<HandoverAnswer> {
    const entry = this.#registry.get(request.migration);
    if (entry?.role !== role) return this.state(request.migration);
    if (entry.role === "source") await entry.move.rollback(request.reason);
    else await entry.move.abort(request.reason);
    return { ...(await this.state(request.migration)), spans: toWire(entry.move.spans) };
  }

  async state(migration: string): Promise<HandoverAnswer> {
    const record = await this.#records.read(migration);
    if (!record) return { migration };
    // Left by a shim that is gone: its end decided it.
    return stateOf(this.#registry.get(migration) ? record : await this.#records.settleOrphan(record));
  }

  progress(migration: string): pclive.shim.v1.ProgressReport.$Properties {
    return this.#registry.get(migration)?.move.progress() ?? {};
  }
}

type HandoverAnswer = pclive.shim.v1.HandoverState.$Properties;

function stateOf(record: HandoverRecord): HandoverAnswer {
  const { migration, container, role, state, reason } = record;
  return { migration, id: container, role, state, reason };
}
