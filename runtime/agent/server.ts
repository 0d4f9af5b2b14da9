/** The two gRPC servers of an agent. There is no way to start the one for peers without TLS. */
import { chmod, mkdir, rm } from "node:fs/promises";
import { connect, isIPv6 } from "node:net";
import { join } from "node:path";
import tls from "node:tls";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Context } from "./context.js";
import { AgentError } from "./errors.js";
import type { service } from "./grpc/method.js";
import { KEEPALIVE } from "./peer.js";

type Service = ReturnType<typeof service>;

const STOP_MS = 2000;

/** Between agents: TLS 1.3, both sides authenticated. Returns the port. */
export async function servePeers(
  context: Context,
  { definitions, implementations }: Service,
): Promise<{ server: Server; port: number }> {
  // gRPC builds its own secure contexts and takes the least version from here only.
  tls.DEFAULT_MIN_VERSION = "TLSv1.3";
  const { identity, config } = context;
  const server = new Server({
    "grpc.max_receive_message_length": config.limits.message,
    "grpc.max_send_message_length": config.limits.message,
    ...KEEPALIVE,
  });
  server.addService(definitions, implementations);
  const { host, port } = config.listen;
  const credentials = ServerCredentials.createSsl(
    identity.ca,
    [{ private_key: identity.key, cert_chain: identity.cert }],
    true,
  );
  const bound = await bind(server, `${isIPv6(host) ? `[${host}]` : host}:${port}`, credentials);
  return { server, port: bound };
}

/** For the pclive command: a socket that only root can use. Returns its path. */
export async function serveLocally(
  context: Context,
  { definitions, implementations }: Service,
): Promise<{ server: Server; path: string }> {
  const { runDir } = context.config;
  const path = join(runDir, "pclived.sock");
  await mkdir(runDir, { recursive: true, mode: 0o711 });
  if (await answers(path)) {
    throw new AgentError("CONFIG", `another agent answers at ${path} already`, {
      remedy: "stop it first, or give this one a runDir of its own",
    });
  }
  await rm(path, { force: true });
  const server = new Server();
  server.addService(definitions, implementations);
  // The socket must never exist with wider permissions, not even for a moment.
  const before = process.umask(0o177);
  try {
    await bind(server, `unix://${path}`, ServerCredentials.createInsecure());
  } finally {
    process.umask(before);
  }
  await chmod(path, 0o600);
  return { server, path };
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (!error) return resolve(port);
      reject(
        new AgentError("CONFIG", `cannot listen at ${address}: ${error.message}`, {
          remedy: "check listen in the configuration, and what else uses that address",
          cause: error,
        }),
      );
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const finish = (result: boolean) => {
      socket.destroy();
      resolve(result);
    };
    socket.once("connect", () => finish(true));
    socket.once("error", () => finish(false));
    socket.setTimeout(1000, () => finish(true));
  });
}

/** Lets calls under way end, for a while. */
export function stop(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, STOP_MS);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
