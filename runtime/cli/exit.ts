/**
 * Exit codes of the pclive command. They are documented in docs/use.md and do not change.
 */
import type { pclive } from "#protos/agent";

export const EXIT = {
  ok: 0,
  failed: 1, // the container still runs where it was
  usage: 2,
  refused: 3, // the check said no; nothing was touched
  unreachable: 4, // no agent here, or no agent there
  cancelled: 5,
  notFound: 6,
  undecided: 7, // committed, and the destination has not answered yet: see `pclive status`
} as const;

const BY_CODE: Record<string, number> = {
  NOT_FOUND: EXIT.notFound,
  CONTAINER_NOT_FOUND: EXIT.notFound,
  IMAGE_NOT_FOUND: EXIT.notFound,
  MIGRATION_NOT_FOUND: EXIT.notFound,
  REFUSED: EXIT.refused,
  CHECK_REFUSED: EXIT.refused,
  CANCELLED: EXIT.cancelled,
  PEER_UNREACHABLE: EXIT.unreachable,
  AGENT_UNREACHABLE: EXIT.unreachable,
  UNDECIDED: EXIT.undecided,
  USAGE: EXIT.usage,
};

/** The exit code for a failure's code; what is not listed is a plain failure. */
export function exitCodeFor(code: string): number {
  return BY_CODE[code] ?? EXIT.failed;
}

/** An error for the person at the terminal: what went wrong, and what to do. */
export class CliError extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly remedy: string,
    readonly details: { logs?: string; containerRunsHere?: boolean } = {},
  ) {
    super(message);
    this.name = "CliError";
  }

  get exitCode(): number {
    return exitCodeFor(this.code);
  }

  /** One line for the error, one each for its remedy and where to look. */
  render(): string {
    const lines = [`pclive: ${this.message}`];
    if (this.remedy !== "") lines.push(`  try: ${this.remedy}`);
    if (this.details.containerRunsHere === true) lines.push("  the container runs on, here");
    if (this.details.logs !== undefined && this.details.logs !== "")
      lines.push(`  logs: ${this.details.logs}`);
    return lines.join("\n");
  }
}

/** What the agent says of a migration or a checkpoint that failed. */
export function failureOf(event: pclive.agent.v1.IFailure): CliError {
  return new CliError(event.code ?? "FAILED", event.message ?? "it failed", event.remedy ?? "", {
    logs: event.logs ?? "",
    containerRunsHere: event.containerRunsHere ?? false,
  });
}
