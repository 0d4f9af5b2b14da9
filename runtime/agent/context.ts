/** What every part of the agent works with. */
import type { Logger } from "pino";
import type { HandoverStore } from "../migration/handover.js";
import type { Cache } from "./cache/cache.js";
import type { Config, Identity } from "./config.js";
import type { Containerd } from "./containerd/client.js";
import type { CostHistory } from "./cost-history.js";
import type { Journal } from "./journal.js";
import type { Registry } from "./registry.js";

export interface Context {
  readonly config: Config;
  readonly cache: Cache;
  readonly identity: Identity;
  readonly containerd: Containerd;
  readonly costs: CostHistory;
  readonly journal: Journal;
  readonly records: HandoverStore;
  readonly registry: Registry;
  readonly log: Logger;
}
