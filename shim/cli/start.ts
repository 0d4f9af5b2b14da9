/**
 * `start`: this process becomes the server of the container's group, or finds that one serves already. The launcher
 * waits for the report and prints it; it leaves, we stay.
 */
import { mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { readSpec, writeAddress } from "../bundle/files.js";
import { Entrance } from "../entrance.js";
import { errnoOf } from "../errors.js";
import { answerOf, parseBootstrap, readInput } from "./bootstrap.js";
import { joinShimCgroup } from "./cgroup.js";
import { checkIdentity, type Flags } from "./flags.js";
import { leaveLauncher, reportAnswer } from "./report.js";
import { groupOf, isAlive, pathOfAddress, socketPath } from "./socket.js";

const MAX_OOM_SCORE = 1000;
const OOM_SCORE = "/proc/self/oom_score_adj";

/** Ends the process when another server of the group is there. @throws Error for the launcher to tell */
export async function start(flags: Flags): Promise<void> {
  checkIdentity(flags);
  const bundle = process.cwd();
  const bootstrap = parseBootstrap(readInput(), flags);
  const group = groupOf(flags.id, readSpec(bundle).annotations ?? {});
  const path = socketPath(pathOfAddress(flags.address), flags.namespace, group, bootstrap.socketDir);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const address = `unix://${path}`;
  const entrance = await open(path);
  if (entrance === undefined) {
    writeAddress(bundle, address);
    reportAnswer(answerOf(bootstrap, address));
    process.exit(0);
  }
  try {
    writeAddress(bundle, address);
    joinShimCgroup(bootstrap.shimCgroup);
  } catch (error) {
    await entrance.close();
    throw error;
  }
  adjustOomScore();
  leaveLauncher(join(bundle, "log"));
  reportAnswer(answerOf(bootstrap, address));
  await serveOrLeave({ ...flags, debug: bootstrap.debug }, path, entrance);
}

/** @returns undefined when a server of the group accepts connections at `path` */
async function open(path: string): Promise<Entrance | undefined> {
  try {
    return new Entrance(path);
  } catch (error) {
    if (errnoOf(error) !== "EADDRINUSE") throw error;
  }
  if (await isAlive(path)) return undefined;
  unlinkSync(path);
  return new Entrance(path);
}

/** While containerd reads the answer and connects, the rest of the shim is loaded. */
async function serveOrLeave(flags: Flags, path: string, entrance: Entrance): Promise<void> {
  try {
    const { serve } = await import("#shim/rest");
    await serve(flags, path, entrance);
  } catch (error) {
    // The launcher is gone: what is left of descriptor 2 is the log. containerd sees its connection close.
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    await entrance.close();
    process.exit(1);
  }
}

/** A little likelier to be killed than containerd, whose score this is, much less than the containers. */
function adjustOomScore(): void {
  try {
    const inherited = Number(readFileSync(OOM_SCORE, "utf8"));
    writeFileSync(OOM_SCORE, String(Math.min(inherited + 1, MAX_OOM_SCORE)));
  } catch {
    // Not allowed in some namespaces; then the score stays as inherited.
  }
}
