/** What the pclive command asks: `pclive.agent.v1.Agent`, over the local socket. */
import type { pclive } from "#protos/agent";
import { failOver } from "./cache/failover.js";
import { listImages, removeImage } from "./cache/images.js";
import { runCheck } from "./check/run.js";
import { restoreContainer } from "./checkpoint/restore.js";
import { takeCheckpoint } from "./checkpoint/take.js";
import type { Context } from "./context.js";
import { AgentError } from "./errors.js";
import { onServerStream, onUnary, service } from "./grpc/method.js";
import { agentRpc } from "./grpc/services.js";
import { measureDirtyRate } from "./measure/dirty-rate.js";
import type { Protections } from "./protect/protections.js";
import type { Live } from "./registry.js";
import { SourceMigration } from "./source/migration.js";
import { parseRequest } from "./source/request.js";
import { VERSION } from "./system.js";

export function agentService(context: Context, protections: Protections) {
  return service({
    migrate: onServerStream(agentRpc.migrate, async (request, call) => {
      const wanted = parseRequest(request);
      // A command that goes away does not end its migration: `pclive cancel` does.
      await new SourceMigration(context, wanted, (event) => {
        if (!call.cancelled && !call.destroyed) call.write(event);
      }).run();
    }),
    check: onUnary(agentRpc.check, (request) => runCheck(context, request)),
    status: onUnary(agentRpc.status, (request) => status(context, request.migration)),
    cancel: onUnary(agentRpc.cancel, (request) => cancel(context, request)),
    checkpoint: onServerStream(agentRpc.checkpoint, async (request, call) => {
      const left = new AbortController();
      call.once("cancelled", () => left.abort());
      await takeCheckpoint(context, request, left.signal, (event) => {
        if (!call.cancelled && !call.destroyed) call.write(event);
      });
    }),
    dirtyRate: onServerStream(agentRpc.dirtyRate, async (request, call) => {
      const left = new AbortController();
      call.once("cancelled", () => left.abort());
      await measureDirtyRate(context, request, left.signal, (event) => {
        if (!call.cancelled && !call.destroyed) call.write(event);
      });
    }),
    restore: onUnary(agentRpc.restore, (request) => restoreContainer(context, request)),
    protect: onUnary(agentRpc.protect, (request) => protections.protect(request)),
    unprotect: onUnary(agentRpc.unprotect, (request) => protections.unprotect(request)),
    failover: onUnary(agentRpc.failover, (request) => failOver(context, request)),
    images: onUnary(agentRpc.images, () => listImages(context.cache)),
    removeImage: onUnary(agentRpc.removeImage, ({ name }) => removeImage(context.cache, name)),
    protections: onUnary(agentRpc.protections, async () => protections.list()),
  });
}

async function status(context: Context, wanted: string): Promise<pclive.agent.v1.IStatusReport> {
  const live = context.registry.all();
  const running = live.map((one) => describeLive(one));
  const ids = new Set(live.map((one) => one.migration));
  const others = (await context.journal.list()).filter((entry) => !ids.has(entry.migration));
  const past = others.map((entry) => ({
    migration: entry.migration,
    container: entry.container,
    namespace: entry.namespace,
    peer: entry.peer.name,
    role: entry.role,
    phase: entry.phase,
    startedAt: entry.startedAt,
    strategy: entry.strategy,
    outcome: entry.outcome ?? "",
  }));
  const migrations = [...running, ...past].filter((one) => wanted === "" || one.migration === wanted);
  if (wanted !== "" && migrations.length === 0) {
    throw new AgentError("MIGRATION_NOT_FOUND", `no migration ${wanted.slice(0, 64)} is known here`, {
      remedy: "list them with pclive status",
    });
  }
  return { version: VERSION, host: context.config.host, migrations };
}

function describeLive(one: Live): pclive.agent.v1.IMigrationStatus {
  const { migration, container, namespace, peer, role, phase, round, bytes, startedAt, strategy } = one;
  return {
    migration,
    container,
    namespace,
    peer,
    role,
    phase,
    round,
    bytes: Math.round(bytes),
    startedAt,
    strategy,
    outcome: "",
  };
}

async function cancel(
  context: Context,
  request: pclive.agent.v1.CancelRequest,
): Promise<pclive.agent.v1.ICancelReply> {
  const { migration, container, namespace } = request;
  const found =
    migration !== ""
      ? context.registry.get(migration)
      : context.registry.find(namespace || "default", container);
  if (found === undefined) {
    throw new AgentError(
      "MIGRATION_NOT_FOUND",
      `no migration of ${(migration || container).slice(0, 76)} is under way here`,
      {
        remedy: "list them with pclive status",
      },
    );
  }
  const { phase } = found;
  found.cancel("by the user");
  return { migration: found.migration, phase };
}
