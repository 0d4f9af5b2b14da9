/** Errors of our own services, in the form that docs/dev/interfaces.md promises. */
import { TtrpcError } from "#ttrpc";
import { MigrationError } from "../../runtime/migration/index.js";
import { ShimError } from "../errors.js";
import type { Log } from "../log.js";
import { statusOf } from "./status.js";

/** Runs one method of a service. @param what the service, for the log */
export async function told<T>(log: Log, what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (thrown) {
    const error = thrown instanceof ShimError ? ofShim(thrown) : MigrationError.from(thrown, "dump-failed");
    log.warn({ code: error.code, logs: error.logs }, `${what}: ${error.message}`);
    throw new TtrpcError(statusOf(error), error.toWire(), { cause: error });
  }
}

function ofShim(error: ShimError): MigrationError {
  const codes: Readonly<Record<string, string>> = {
    NOT_FOUND: "not-found",
    FAILED_PRECONDITION: "wrong-state",
  };
  return new MigrationError(codes[error.code] ?? "dump-failed", error.message, { remedy: error.remedy });
}
