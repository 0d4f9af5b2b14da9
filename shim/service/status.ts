/** Where our errors become ttrpc's. */
import { Code, TtrpcError } from "#ttrpc";
import { messageOf, ShimError, type ShimErrorCode } from "../errors.js";

const CODES: Record<ShimErrorCode, Code> = {
  NOT_FOUND: Code.NOT_FOUND,
  ALREADY_EXISTS: Code.ALREADY_EXISTS,
  INVALID_ARGUMENT: Code.INVALID_ARGUMENT,
  FAILED_PRECONDITION: Code.FAILED_PRECONDITION,
  UNAVAILABLE: Code.UNAVAILABLE,
  DEADLINE_EXCEEDED: Code.DEADLINE_EXCEEDED,
  UNKNOWN: Code.UNKNOWN,
};

export function toTtrpcError(error: unknown): TtrpcError {
  if (error instanceof TtrpcError) return error;
  if (!(error instanceof ShimError)) return new TtrpcError(Code.UNKNOWN, messageOf(error), { cause: error });
  const message =
    error.code === "FAILED_PRECONDITION" && error.remedy
      ? `${error.message} (${error.remedy})`
      : error.message;
  return new TtrpcError(CODES[error.code], message, { cause: error });
}
