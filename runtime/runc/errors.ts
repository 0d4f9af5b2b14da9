import { OLDEST } from "./version.js";

/** What went wrong when runC was asked for something. */
export type RuncErrorCode =
  | "RUNC_NOT_FOUND" // no such binary
  | "RUNC_TOO_OLD" // it does not know what we ask for
  | "RUNC_FAILED" // it ran and said no
  | "RUNC_TIMEOUT"
  | "RUNC_ABORTED"
  | "RUNC_OUTPUT" // it answered something that we cannot read
  | "CONTAINER_NOT_FOUND"
  | "PROCESS_GONE";

export interface RuncErrorDetails {
  readonly command: string;
  readonly exitStatus?: number;
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** An error of one runC command. `message` is runC's own last word where it had one. */
export class RuncError extends Error {
  readonly code: RuncErrorCode;
  readonly command: string;
  readonly exitStatus: number | undefined;
  readonly remedy: string;

  constructor(code: RuncErrorCode, message: string, details: RuncErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = "RuncError";
    this.code = code;
    this.command = details.command;
    this.exitStatus = details.exitStatus;
    this.remedy = details.remedy ?? REMEDIES[code];
  }
}

const REMEDIES: Record<RuncErrorCode, string> = {
  RUNC_NOT_FOUND: "install runC, or name its binary in the runtime options",
  RUNC_TOO_OLD: `use runC ${OLDEST} or later`,
  RUNC_FAILED: "see the container's log.json in its bundle",
  RUNC_TIMEOUT: "look at what runC waits for; try again",
  RUNC_ABORTED: "none: it was cancelled",
  RUNC_OUTPUT: `use a released runC, ${OLDEST} or later`,
  CONTAINER_NOT_FOUND: "list the containers with runc list",
  PROCESS_GONE: "none: the process has ended already",
};

/** Sorts a failed command by what runC said. */
export function failureOf(command: string, exitStatus: number, message: string): RuncError {
  const text = message || `runc ${command} ended with status ${exitStatus}`;
  const details = { command, exitStatus };
  if (/container( \S+)? does not exist/.test(text))
    return new RuncError("CONTAINER_NOT_FOUND", text, details);
  if (/process already finished|no such process|container not running/.test(text)) {
    return new RuncError("PROCESS_GONE", text, details);
  }
  return new RuncError("RUNC_FAILED", text, details);
}

/** Why a binary does not start, in words for people. */
export function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "ENOENT":
      return "executable file not found";
    case "EACCES":
      return "it is not executable";
    default:
      return error.message;
  }
}
