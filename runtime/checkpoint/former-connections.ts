/**
 * What TCP keeps of connections whose container was killed: ends that nobody owns any more and that still send, or wait, for a minute
 * or longer. CRIU cannot make the connections of an image while they are there.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Connection, connectionsIn } from "../criu/connections.js";

/** States of ends that a process has closed. */
const CLOSED = ["fin-wait-1", "fin-wait-2", "closing", "last-ack", "time-wait"];
/** Of one call: a filter may have some thousand terms. */
const BATCH = 200;
const SS_MS = 5_000;

/**
 * Ends those that are in the way of an image's connections. Never rejects: if one stays, CRIU says so.
 * @param netns path of the network namespace that the image is restored into; undefined: ours
 */
export async function endFormerConnections(imagePath: string, netns: string | undefined): Promise<void> {
  const files = await readFile(join(imagePath, "files.img")).catch(() => undefined);
  const connections = files ? connectionsIn(files) : [];
  for (let i = 0; i < connections.length; i += BATCH)
    await end(connections.slice(i, i + BATCH), netns).catch(() => undefined);
}

async function end(connections: readonly Connection[], netns: string | undefined): Promise<void> {
  const words = ["ss", "--no-header", "--numeric", "--tcp", "--kill"];
  for (const state of CLOSED) words.push("state", state);
  for (const [i, { local, remote }] of connections.entries())
    words.push(...(i > 0 ? ["or"] : []), "(", "src", local, "and", "dst", remote, ")");
  const [file = "", ...args] = netns === undefined ? words : ["nsenter", `--net=${netns}`, ...words];
  await promisify(execFile)(file, args, { timeout: SS_MS, killSignal: "SIGKILL" });
}
