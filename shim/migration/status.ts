/** What a failed call of our own services answers besides its text. */
import { Code } from "#ttrpc";
import type { MigrationError } from "../../runtime/migration/index.js";

/** For clients that look at the code only; the text tells it all. */
export function statusOf(error: MigrationError): Code {
  switch (error.code) {
    case "invalid":
      return Code.INVALID_ARGUMENT;
    case "not-found":
      return Code.NOT_FOUND;
    case "wrong-state":
    case "unsupported":
      return Code.FAILED_PRECONDITION;
    case "timeout":
      return Code.DEADLINE_EXCEEDED;
    case "cancelled":
      return Code.CANCELED;
    default:
      return Code.ABORTED;
  }
}
