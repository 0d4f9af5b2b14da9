export {
  type CommandEnd,
  type CommandOptions,
  MAX_OUTPUT,
  MAX_STDERR,
  type RunCommand,
} from "./command.js";
export { RuncError, type RuncErrorCode } from "./errors.js";
export type {
  CallOptions,
  CheckpointOptions,
  CreateOptions,
  DeleteOptions,
  ExecOptions,
  KillOptions,
  RestoreOptions,
  Stdio,
} from "./options.js";
export { parsePidFile, type RuncFeatures, type RuncState, type RuncStatus } from "./results.js";
export { Runc, type RuncConfig } from "./runc.js";
