/** What the shims of this host ask of the agent: `pclive.agent.v1.Shims`, ttrpc over a socket that only root can use. */
import { chmod, rm } from "node:fs/promises";
import { join } from "node:path";
import { pclive } from "#protos/agent";
import { Server, unary } from "#ttrpc";
import { isThisHost } from "./config.js";
import { getContainer } from "./containerd/tasks.js";
import type { Context } from "./context.js";

const { PeerOfRequest, PeerOfReply } = pclive.shim.v1;
/** A label of containerd's, which the shim of the container does not get to see. */
const PEER_LABEL = "pclive.io/peer";

/** @returns the end of it */
export async function serveShims(context: Context): Promise<() => Promise<void>> {
  const path = join(context.config.runDir, "shims.sock");
  const server = new Server();
  server.addService("pclive.agent.v1.Shims", {
    PeerOf: unary(PeerOfRequest, PeerOfReply, async ({ namespace, id, annotation }) => {
      const container = await getContainer(context.containerd.namespace(namespace), id);
      const host = annotation || (container?.labels[PEER_LABEL] ?? "");
      // It has come here from there.
      return { host: isThisHost(context.config, host) ? "" : host };
    }),
  });
  await rm(path, { force: true });
  // The socket must never exist with wider permissions, not even for a moment.
  const before = process.umask(0o177);
  try {
    await server.listen({ path });
  } finally {
    process.umask(before);
  }
  await chmod(path, 0o600);
  return () => server.close();
}
