/** The connection to another host's agent: gRPC over TLS 1.3, each side proving its name. */

import { isIP } from "node:net";
import { createSecureContext, type PeerCertificate } from "node:tls";
import { Client, credentials, type ServerUnaryCall } from "@grpc/grpc-js";
import type { PeerAddress } from "./config.js";
import type { Context } from "./context.js";
import { AgentError, fromPeerError } from "./errors.js";
import { type CallContext, call, type Method } from "./grpc/method.js";
import { peerRpc } from "./grpc/services.js";

/** A link that is cut is noticed within the sum of the two. */
export const KEEPALIVE = {
  "grpc.keepalive_time_ms": 3000,
  "grpc.keepalive_timeout_ms": 5000,
  "grpc.keepalive_permit_without_calls": 1,
} as const;

/** The id of no migration. */
const NOBODY = "0".repeat(32);

export class Peer {
  readonly client: Client;
  readonly name: string;

  constructor(
    context: Context,
    readonly address: PeerAddress,
  ) {
    const { ca, cert, key } = context.identity;
    const secure = createSecureContext({ ca, cert, key, minVersion: "TLSv1.3" });
    const { name, host, port } = address;
    const target =
      isIP(host) === 6
        ? `ipv6:[${host}]:${port}`
        : isIP(host) === 4
          ? `ipv4:${host}:${port}`
          : `dns:${host}:${port}`;
    this.name = name;
    this.client = new Client(target, credentials.createFromSecureContext(secure), {
      "grpc.ssl_target_name_override": name,
      "grpc.default_authority": name,
      "grpc.max_receive_message_length": context.config.limits.message,
      "grpc.initial_reconnect_backoff_ms": 100,
      "grpc.max_reconnect_backoff_ms": 2000,
      // Two migrations to the same host must not share a connection: one may be given up while the other goes on.
      "grpc.use_local_subchannel_pool": 1,
      ...KEEPALIVE,
    });
  }

  /** @throws AgentError PEER_UNREACHABLE or what the peer itself says */
  async call<I, O, R, S>(m: Method<I, O, R, S>, message: I, options: CallContext = {}): Promise<S> {
    try {
      return await call(this.client, m, message, options);
    } catch (error) {
      throw fromPeerError(error, this.name);
    }
  }

  /**
   * Makes sure that the peer answers, by a question that needs no migration.
   * @throws AgentError PEER_UNREACHABLE with what went wrong: name, address, certificate
   */
  async ready(timeoutMs: number): Promise<void> {
    await this.call(peerRpc.settle, { migration: NOBODY, decision: "ask" }, { timeoutMs });
  }

  close(): void {
    this.client.close();
  }
}

type AnyCall = Pick<ServerUnaryCall<unknown, unknown>, "getAuthContext" | "getPeer">;

/** Names in a certificate. */
export function certificateNames(certificate: Pick<PeerCertificate, "subjectaltname"> | undefined): string[] {
  const entries = (certificate?.subjectaltname ?? "").split(", ");
  return entries.flatMap((entry) => /^(?:DNS|IP Address):(.+)$/.exec(entry)?.[1] ?? []);
}

/**
 * Checks that a caller is the host that it says it is.
 * @throws AgentError PROTOCOL
 */
export function requireCaller(call: AnyCall, host: string): void {
  if (certificateNames(call.getAuthContext().sslPeerCertificate).includes(host)) return;
  throw new AgentError(
    "PROTOCOL",
    `the caller says it is ${host.slice(0, 253)}, but its certificate does not`,
    {
      remedy: "the setting `host` of an agent must be the name in its certificate",
    },
  );
}

/** The address from which a caller came, without port. */
export function callerAddress(call: AnyCall): string {
  return call
    .getPeer()
    .replace(/:\d+$/, "")
    .replace(/^\[|\]$/g, "")
    .replace(/^::ffff:/, "");
}
