/** Errors of install and uninstall. Each is thrown before anything was changed, unless its message says otherwise. */
import { CliError } from "../exit.js";

/** The file is such that we must not touch it; exit code 3. */
export function refused(path: string, why: string, remedy: string): CliError {
  return new CliError("REFUSED", `${path}: ${why}; nothing was changed`, remedy);
}

/** The text of whatever was thrown. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
