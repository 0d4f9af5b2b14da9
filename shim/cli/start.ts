/**
 * `start` of a container that is not plain (native/launcher/prepare.c has those, and does the same for them): this
 * process becomes the server of the container's group, or finds that one serves already. The launcher waits for the
 * report and prints it; it leaves, we stay.
 */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { leaveLauncher } from "#addon";
import { readSpec, writeAddress } from "../bundle/files.js";
import { Entrance } from "../entrance.js";
import { errnoOf } from "../errors.js";
import { answerOf, parseBootstrap, readInput } from "./bootstrap.js";
import { joinShimCgroup } from "./cgroup.js";
import { checkIdentity, type Flags } from "./flags.js";
import { reportAnswer } from "./report.js";
import { groupOf, isAlive, pathOfAddress, socketPath } from "./socket.js";

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
  leaveLauncher();
  reportAnswer(answerOf(bootstrap, address));
  // While containerd reads the answer and connects, the rest of the shim is loaded.
  const { serveOrLeave } = await import("#shim/rest");
  await serveOrLeave({ ...flags, debug: bootstrap.debug }, entrance);
}

/** From the end of a server's last container to its own. */
const LEAVING_MS = 50;

/** After the delete of a container with the same id its server may still be on its way out. */
async function stays(path: string): Promise<boolean> {
  if (!(await isAlive(path))) return false;
  await new Promise((resolve) => setTimeout(resolve, LEAVING_MS));
  return isAlive(path);
}

/** @returns undefined when a server of the group accepts connections at `path` */
async function open(path: string): Promise<Entrance | undefined> {
  try {
    return Entrance.at(path);
  } catch (error) {
    if (errnoOf(error) !== "EADDRINUSE") throw error;
  }
  if (await stays(path)) return undefined;
  rmSync(path, { force: true });
  return Entrance.at(path);
}
