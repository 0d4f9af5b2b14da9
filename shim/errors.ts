/** The shim's one error type. `shim/service/status.ts` turns it into ttrpc codes. */
export type ShimErrorCode =
  | "NOT_FOUND"
  | "ALREADY_EXISTS"
  | "INVALID_ARGUMENT"
  | "FAILED_PRECONDITION"
  | "UNAVAILABLE"
  | "DEADLINE_EXCEEDED"
  | "UNKNOWN";

export class ShimError extends Error {
  readonly code: ShimErrorCode;
  /** What a user can do about it. */
  readonly remedy: string;

  constructor(code: ShimErrorCode, message: string, remedy = "", cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "ShimError";
    this.code = code;
    this.remedy = remedy;
  }
}

export function notFound(message: string): ShimError {
  return new ShimError("NOT_FOUND", message, "it may have been deleted already");
}

export function refused(message: string, remedy = "try again later"): ShimError {
  return new ShimError("FAILED_PRECONDITION", message, remedy);
}

/** What the task's present state does not allow. Clients have always been answered UNKNOWN then. */
export function wrongState(message: string): ShimError {
  return new ShimError("UNKNOWN", message, "bring the task into the right state first");
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name of a failed system call, e.g. "ENOENT". */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
