/** `pclive failover`: the newest standby of a container goes on here, unless the container is seen to run where it was. */
import type { pclive } from "#protos/agent";
import type { Restored } from "../checkpoint/restore-into.js";
import { resolveHost } from "../config.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { peerRpc } from "../grpc/services.js";
import { Peer } from "../peer.js";
import { type Entry, readManifest } from "./entry.js";
import { checkedName, standbyName } from "./name.js";
import { revive } from "./revive.js";

const ASK_MS = 10_000;

/** @throws AgentError IMAGE_NOT_FOUND, REFUSED, or what a restore meets */
export async function failOver(
  context: Context,
  request: pclive.agent.v1.FailoverRequest,
): Promise<Restored> {
  const { container, force } = request;
  const name = checkedName(standbyName(request.namespace || "default", container));
  await context.cache.get(name);
  const release = context.cache.claim(name, "restored");
  try {
    const entry = await context.cache.get(name);
    if (!force) await mustBeGone(context, entry);
    // Not into one that is here: its files are of another time.
    return await revive(context, entry, { name: "", netns: "" });
  } finally {
    release();
  }
}

/** A host that does not answer has lost it: that this is so is for the one who asks to know. */
async function mustBeGone(context: Context, entry: Entry): Promise<void> {
  const { source, namespace, container } = entry;
  const state = await stateAt(context, entry);
  if (state === undefined || state === "" || state === "stopped") return;
  throw new AgentError("REFUSED", `${container} is ${state} on ${source}`, {
    remedy: `move it with pclive migrate there; or end it there: ctr -n ${namespace} task kill ${container}`,
  });
}

/** @returns undefined when that host cannot be asked @throws AgentError when it answers that it cannot tell */
async function stateAt(context: Context, entry: Entry): Promise<string | undefined> {
  const { source, namespace, container } = entry;
  const { host } = context.config;
  const { agent } = await readManifest(context.cache.folderOf(entry.name), entry);
  const peer = new Peer(context, addressOf(context, source, agent));
  try {
    const { state } = await peer.call(
      peerRpc.taskState,
      { host, namespace, container },
      { timeoutMs: ASK_MS },
    );
    return state;
  } catch (error) {
    const { code, message } = AgentError.from(error);
    if (code !== "PEER_UNREACHABLE") throw error;
    context.log.warn({ container, source, error: message }, "failover: the other host does not answer");
    return undefined;
  } finally {
    peer.close();
  }
}

/** As we know that host, else as it has called itself. */
function addressOf(context: Context, source: string, agent: { host: string; port: number }) {
  if (context.config.hosts[source] !== undefined) return resolveHost(context.config, source);
  return { name: source, host: source, port: agent.port };
}
