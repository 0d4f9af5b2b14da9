/**
 * Checkpoints that another host shall have, by the ordinary call: the container carries that host's name, or the image path does.
 * With `exit` the container is migrated there; without, that host keeps its newest state as a standby. It is all asked of the installed
 * command, which asks the agent: the shim stays small, and speaks to no other host.
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pclive as api } from "#protos/migration";
import { Client } from "#ttrpc";
import { messageOf, ShimError } from "../errors.js";
import { libDir } from "../paths.js";
import type { CheckpointRequest } from "./checkpoint.js";
import type { Container } from "./container.js";

/** Of a container of containerd, or an annotation in its specification: the host. */
export const PEER_LABEL = "pclive.io/peer";
/** The agent's socket for shims. */
const AGENT = "/run/pclive/shims.sock";
const SHIMS = "pclive.agent.v1.Shims";
const METHODS = { PeerOf: { request: api.shim.v1.PeerOfRequest, response: api.shim.v1.PeerOfReply } };
const ASK_MS = 2000;
const PLACES = "/run/pclive/peers/";
/** As the agent takes them; the first letter is no dash, so that none is taken for a flag. */
const HOST = /^[A-Za-z0-9[][A-Za-z0-9.:[\]-]{0,269}$/;
/** A migration has as long, and ends by itself; what follows the commit takes a little more. */
const MIGRATE_MS = 600_000;
const SETTLE_MS = 120_000;
/** A standby of terabytes over a slow link. */
const STANDBY_MS = 24 * 3600 * 1000;

/** The host that shall have this checkpoint; undefined: it is for this one. @throws ShimError */
export async function peerOf(container: Container, request: CheckpointRequest): Promise<string | undefined> {
  const place = [request.imagePath, request.path].find((path) => path.startsWith(PLACES));
  const host = place === undefined ? await peerByName(container) : place.slice(PLACES.length).split("/")[0];
  if (host === undefined || HOST.test(host)) return host;
  throw new ShimError(
    "INVALID_ARGUMENT",
    `${JSON.stringify(host.slice(0, 270))} is no name of a host for the checkpoint`,
    `name one: ${PLACES}HOST, or ${PEER_LABEL}=HOST`,
  );
}

/** The agent knows the label, which is containerd's, and whether the host is this one. Without an agent the annotation counts. */
async function peerByName(container: Container): Promise<string | undefined> {
  const { namespace, id, env } = container;
  const annotation = (await container.spec()).annotations?.[PEER_LABEL] ?? "";
  if (!existsSync(AGENT)) return annotation || undefined;
  try {
    const client = await Client.connect(AGENT, { connectTimeoutMs: ASK_MS });
    try {
      const peerOf = client.service(SHIMS, METHODS).PeerOf;
      const { host } = await peerOf({ namespace, id, annotation }, { timeoutMs: ASK_MS });
      return host || undefined;
    } finally {
      client.close();
    }
  } catch (error) {
    env.log.warn(
      { id, error: messageOf(error) },
      "the agent does not say whether another host shall have the checkpoint",
    );
    return annotation || undefined;
  }
}

/** @throws ShimError: the container runs on here, or is paused, as it was */
export async function checkpointAtPeer(
  container: Container,
  request: CheckpointRequest,
  host: string,
): Promise<void> {
  if (request.exit) await migrate(container, host);
  else await standBy(container, request, host);
  if (!request.path.startsWith(PLACES)) await leaveNote(request.path, host);
}

/** Where the caller looks for an image: what has become of it. containerd refuses a second one with the same contents. */
async function leaveNote(folder: string, host: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, "pclive-peer.json"), `${JSON.stringify({ host, at: Date.now() })}\n`);
}

/** It need not stand still for that, though its caller may have paused it for the call. */
async function migrate(container: Container, host: string): Promise<void> {
  const { id } = container;
  const paused = container.state() === "paused";
  if (paused) await container.resume();
  try {
    const timeout = ["--timeout", `${MIGRATE_MS}ms`];
    await pclive(container, MIGRATE_MS + SETTLE_MS, ["migrate", id, host, "--keep-stopped", ...timeout]);
  } catch (error) {
    if (paused && container.state() === "running") await container.pause();
    throw error;
  }
}

async function standBy(container: Container, request: CheckpointRequest, host: string): Promise<void> {
  const { id, namespace } = container;
  const place = `peer:${host}/standby/${namespace}/${id}`;
  const flags = {
    "--tcp-established": request.openTcp,
    "--external-unix-sockets": request.externalUnixSockets,
    "--shell-job": request.terminal,
    "--file-locks": request.fileLocks,
  };
  const asked = Object.entries(flags).flatMap(([flag, wanted]) => (wanted ? [flag] : []));
  await pclive(container, STANDBY_MS, ["checkpoint", id, "--to", place, ...asked]);
}

async function pclive(container: Container, timeoutMs: number, args: readonly string[]): Promise<void> {
  const { env, namespace } = container;
  const binary = join(libDir(), "../../bin/pclive");
  if (!existsSync(binary)) {
    throw new ShimError(
      "UNKNOWN",
      `${binary} is not there: the checkpoint is for another host`,
      "install PCLive",
    );
  }
  const end = await env.runCommand(binary, [...args, "--namespace", namespace], {
    env: process.env,
    timeoutMs,
  });
  if (end.kind === "exited" && end.status === 0) return;
  const said = end.kind === "failed" ? end.error.message : end.stderr.trim().replace(/\s*\n\s*/g, "; ");
  const what = end.kind === "timeout" ? `it took longer than ${timeoutMs} ms` : said;
  throw new ShimError("UNKNOWN", `pclive ${args[0]}: ${what.replace(/^pclive: /, "")}`);
}
