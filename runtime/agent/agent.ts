/** One agent, from its configuration to its servers. */
import { join } from "node:path";
import type { Logger } from "pino";
import { HandoverStore } from "../migration/handover.js";
import { agentService } from "./agent-service.js";
import { Cache } from "./cache/cache.js";
import { Making } from "./cache/making.js";
import { sweepOutgoing } from "./cache/outgoing.js";
import { type Config, loadIdentity } from "./config.js";
import { Containerd } from "./containerd/client.js";
import type { Context } from "./context.js";
import { CostHistory } from "./cost-history.js";
import { Arrivals } from "./destination/arrivals.js";
import { Journal } from "./journal.js";
import { peerService } from "./peer-service.js";
import { Protections } from "./protect/protections.js";
import { Recovery } from "./recovery.js";
import { Registry } from "./registry.js";
import { serveLocally, servePeers, stop } from "./server.js";
import { serveShims } from "./shim-service.js";

export interface RunningAgent {
  readonly context: Context;
  readonly port: number;
  readonly socket: string;
  /** Resolves when every migration of an earlier run has been brought to its end. */
  readonly recovered: Promise<void>;
  /** Ends the servers. Migrations under way end as if the agent had died: safely. */
  stop(): Promise<void>;
}

/** @throws AgentError CONFIG */
export async function startAgent(config: Config, log: Logger): Promise<RunningAgent> {
  const context: Context = {
    config,
    cache: new Cache(config.stateDir, config.cache.maxBytes),
    identity: loadIdentity(config),
    containerd: new Containerd(config.containerd.address),
    costs: new CostHistory(config.stateDir),
    journal: new Journal(config.stateDir),
    records: new HandoverStore(join(config.stateDir, "handover")),
    registry: new Registry(config.limits.migrations),
    log,
  };
  const arrivals = new Arrivals(context);
  await context.cache.sweep();
  const recovery = await Recovery.plan(context, arrivals);
  const peers = await servePeers(context, peerService(context, arrivals));
  const protections = new Protections(context);
  const local = await serveLocally(context, agentService(context, protections));
  const closeShims = await serveShims(context);
  log.info({ host: config.host, port: peers.port, socket: local.path }, "agent ready");
  const recovered = Promise.all([recovery.run(), sweepOutgoing(context), Making.sweep(context)]).then(
    () => undefined,
  );
  await protections.resume();
  return {
    context,
    recovered,
    port: peers.port,
    socket: local.path,
    stop: async () => {
      await Promise.all([stop(peers.server), stop(local.server), closeShims(), protections.stop()]);
      context.containerd.close();
    },
  };
}
