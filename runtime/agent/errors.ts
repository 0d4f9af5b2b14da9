/**
 * Errors of the agent: a code for programs, a message and a remedy for people.
 *
 * They cross gRPC as a status whose details are the message and whose metadata hold `pclive-code`
 * and `pclive-remedy`.
 */
import { Metadata, type ServiceError, status } from "@grpc/grpc-js";

export type AgentErrorCode =
  | "AGENT_UNREACHABLE"
  | "BUSY"
  | "CANCELLED"
  | "CHECK_REFUSED"
  | "CONFIG"
  | "CONTAINERD"
  | "CONTAINER_NOT_FOUND"
  | "HANDED_BACK"
  | "IMAGE_NOT_FOUND"
  | "INTERNAL"
  | "MIGRATION_NOT_FOUND"
  | "NETWORK"
  | "PARENT_GONE"
  | "PEER_FAILED"
  | "PEER_UNREACHABLE"
  | "PROTOCOL"
  | "REFUSED"
  | "RESTORE_FAILED"
  | "ROOTFS"
  | "SHIM"
  | "TIMEOUT"
  | "TOO_LATE"
  | "UNDECIDED"
  | "USAGE";

export class AgentError extends Error {
  readonly remedy: string;
  /** Folder with logs that were kept; empty: none. */
  readonly logs: string;
  constructor(
    readonly code: AgentErrorCode | string,
    message: string,
    options: { remedy?: string; cause?: unknown; logs?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "AgentError";
    this.remedy = options.remedy ?? "";
    this.logs = options.logs ?? "";
  }

  /** Whatever was thrown, as an AgentError; errors that carry a code and a remedy of their own keep them. */
  static from(error: unknown, code: AgentErrorCode = "INTERNAL"): AgentError {
    if (error instanceof AgentError) return error;
    if (!(error instanceof Error)) return new AgentError(code, String(error));
    const known = error as { code?: unknown; remedy?: unknown };
    return new AgentError(typeof known.code === "string" ? known.code : code, error.message, {
      cause: error,
      remedy: typeof known.remedy === "string" ? known.remedy : "",
    });
  }
}

const STATUS_OF: Readonly<Record<string, status>> = {
  BUSY: status.FAILED_PRECONDITION,
  CANCELLED: status.CANCELLED,
  CHECK_REFUSED: status.FAILED_PRECONDITION,
  CONTAINER_NOT_FOUND: status.NOT_FOUND,
  IMAGE_NOT_FOUND: status.NOT_FOUND,
  MIGRATION_NOT_FOUND: status.NOT_FOUND,
  PEER_UNREACHABLE: status.FAILED_PRECONDITION,
  PROTOCOL: status.INVALID_ARGUMENT,
  REFUSED: status.FAILED_PRECONDITION,
  TIMEOUT: status.DEADLINE_EXCEEDED,
  TOO_LATE: status.FAILED_PRECONDITION,
  USAGE: status.INVALID_ARGUMENT,
};

/** Metadata are latin-1 at most and one line; the details are not bound by that. */
function headerSafe(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 1024);
}

/** What a gRPC handler hands to its callback. */
export function toServiceError(error: unknown): Partial<ServiceError> {
  const known = AgentError.from(error);
  const metadata = new Metadata();
  metadata.set("pclive-code", headerSafe(known.code));
  if (known.remedy !== "") metadata.set("pclive-remedy", headerSafe(known.remedy));
  return { code: STATUS_OF[known.code] ?? status.INTERNAL, details: known.message, metadata };
}

/** What a failed gRPC call to another agent says. `where` names that agent. */
export function fromPeerError(error: unknown, where: string): AgentError {
  const known = error as Partial<ServiceError>;
  if (error instanceof AgentError || typeof known.code !== "number")
    return AgentError.from(error, "PEER_FAILED");
  const code = known.metadata?.get("pclive-code")[0];
  const remedy = known.metadata?.get("pclive-remedy")[0];
  if (typeof code === "string") {
    return new AgentError(code, `${where}: ${known.details ?? ""}`, {
      remedy: typeof remedy === "string" ? remedy : "",
      cause: error,
    });
  }
  const text = known.details ?? known.message ?? "";
  if (known.code === status.UNAVAILABLE || known.code === status.DEADLINE_EXCEEDED) {
    return new AgentError("PEER_UNREACHABLE", `the agent of ${where} does not answer: ${text}`, {
      remedy: peerRemedy(text),
      cause: error,
    });
  }
  return new AgentError("PEER_FAILED", `the agent of ${where} failed: ${text}`, {
    remedy: `read the journal of pclived on ${where}`,
    cause: error,
  });
}

function peerRemedy(text: string): string {
  if (/certificate|altname|alert|self.signed|handshake|SSL/i.test(text)) {
    return "both hosts need certificates of one authority, and each must carry its host's name: see `pclive certs`";
  }
  return "check that pclived runs there, that its address and port are right, and that no firewall is between";
}
