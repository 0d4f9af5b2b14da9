/** Moves containers between hosts. */
export { DestinationMigration } from "./destination.js";
export type { DestinationOptions } from "./destination-prepare.js";
export { MigrationError } from "./error.js";
export {
  HANDOVER_DIR,
  type HandoverRecord,
  type HandoverState,
  HandoverStore,
  isEnded,
  type Role,
} from "./handover.js";
export type { Places } from "./scratch.js";
export { SourceMigration } from "./source.js";
export type { SourceOptions } from "./source-prepare.js";
export {
  type DestinationContainer,
  type SourceContainer,
  STRATEGIES,
  type Strategy,
  type Tls,
  TRACKERS,
  type Tracker,
} from "./types.js";
export { PAGE_BYTES } from "./weigh.js";
