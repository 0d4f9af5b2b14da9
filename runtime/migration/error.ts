/** What can go wrong in a migration. The code is for programs, message and remedy for people. */
export type MigrationErrorCode =
  | "wrong-state" // a step was asked for in a state that does not have it
  | "timeout"
  | "cancelled"
  | "engine-failed" // the engine reported an error, or died
  | "protocol" // a line of the engine, or a record on disk, is not what was agreed
  | "record-failed" // the handover record cannot be read or written
  | "freeze-failed"
  | "network-lock-failed"
  | "dump-failed"
  | "restore-failed"
  | "thawed" // the source ran again between freeze and commit
  | "unsupported"
  | "internal";

export interface MigrationErrorOptions {
  /** What a person can do about it. */
  readonly remedy?: string;
  readonly cause?: unknown;
  /** Folder with the logs that were kept. */
  readonly logs?: string;
}

/** An error of one migration. `detail` is the engine's or a tool's own code, when it has one. */
export class MigrationError extends Error {
  readonly code: string;
  readonly remedy: string;
  logs: string | undefined;

  constructor(code: MigrationErrorCode | string, message: string, options: MigrationErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "MigrationError";
    this.code = code;
    this.remedy = options.remedy ?? "";
    this.logs = options.logs;
  }

  /** Whatever was thrown, as a MigrationError; errors with a code of their own keep it. */
  static from(error: unknown, code: MigrationErrorCode = "internal"): MigrationError {
    if (error instanceof MigrationError) return error;
    if (!(error instanceof Error)) return new MigrationError(code, String(error));
    const { remedy } = error as { remedy?: unknown };
    return new MigrationError(code, error.message, {
      cause: error,
      ...(typeof remedy === "string" ? { remedy } : {}),
    });
  }

  /** As the text of a ttrpc status, which has room for nothing else: see docs/dev/interfaces.md. */
  toWire(): string {
    const { code, message, remedy, logs } = this;
    return JSON.stringify({ code, message, remedy, ...(logs === undefined ? {} : { logs }) });
  }

  /** The reverse of `toWire`; text that is not of that form becomes the message of an `internal` error. */
  static fromWire(text: string): MigrationError {
    try {
      const { code, message, remedy, logs } = JSON.parse(text) as Record<string, unknown>;
      if (typeof code === "string" && typeof message === "string") {
        return new MigrationError(code, message, {
          ...(typeof remedy === "string" ? { remedy } : {}),
          ...(typeof logs === "string" ? { logs } : {}),
        });
      }
    } catch {
      // not ours
    }
    return new MigrationError("internal", text);
  }
}
