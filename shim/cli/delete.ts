/** `delete`: cleans up after a shim that is gone. Needs no server, may be repeated, ends within 5 s. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { reap } from "#addon";
import { RuncError } from "../../runtime/runc/index.js";
import { deleteAnswer } from "../bundle/deleted.js";
import { readInitPid, readOptions, rootfsOf } from "../bundle/files.js";
import { unfinished } from "../bundle/unfinished.js";
import { commandRunner } from "../container/command.js";
import { Reaper } from "../container/reaper.js";
import { unmountRootfs } from "../container/rootfs.js";
import { runcFor } from "../container/runc.js";
import { messageOf } from "../errors.js";
import { libDir, runcEnvironment } from "../paths.js";
import { checkIdentity, type Flags } from "./flags.js";
import { isAlive, pathOfAddress } from "./socket.js";

const RUNC_MS = 4000;
const KILL_MS = 500;

/** @returns the DeleteResponse, encoded */
export async function deleteLeftovers(flags: Flags): Promise<Uint8Array> {
  checkIdentity(flags);
  const bundle = flags.bundle || process.cwd();
  const options = readOptions(bundle);
  const pid = readInitPid(bundle) ?? 0;
  const reaper = new Reaper(reap);
  reaper.start();
  const env = {
    namespace: flags.namespace,
    runcEnv: runcEnvironment(libDir()),
    runCommand: commandRunner(reaper),
  };
  const runc = runcFor(env, bundle, options);
  // A restore that was killed half-way leaves the root file system mounted in runC's state.
  await unmountRestored(join(runc.root, flags.id, "criu-root")).catch((error: unknown) => {
    process.stderr.write(`unmount: ${messageOf(error)}\n`);
  });
  await runc.delete(flags.id, { force: true, timeoutMs: RUNC_MS }).catch((error: unknown) => {
    if (error instanceof RuncError && error.code === "CONTAINER_NOT_FOUND") return;
    process.stderr.write(`runc delete: ${messageOf(error)}\n`);
  });
  await removeRestore(bundle).catch((error: unknown) => {
    process.stderr.write(`restore folder: ${messageOf(error)}\n`);
  });
  await unmountRootfs(rootfsOf(bundle)).catch((error: unknown) => {
    process.stderr.write(`unmount: ${messageOf(error)}\n`);
  });
  await removeUnfinished(bundle);
  await removeDeadSocket(bundle);
  return deleteAnswer(pid);
}

async function unmountRestored(root: string): Promise<void> {
  if (!existsSync(root)) return;
  const { unmountBelow } = await import("../../runtime/migration/scratch.js");
  await unmountBelow(root);
}

/** Half an image, and the folder in which it was made. */
async function removeUnfinished(bundle: string): Promise<void> {
  const folders = unfinished(bundle);
  if (folders.length === 0) return;
  const [{ usersOfScratch }, { killAll }, { removeScratch }] = await Promise.all([
    import("../../runtime/migration/remains.js"),
    import("../../runtime/migration/process.js"),
    import("../../runtime/migration/scratch.js"),
  ]);
  for (const folder of folders) {
    await killAll(usersOfScratch(folder), KILL_MS);
    await removeScratch(folder).catch((error: unknown) => {
      process.stderr.write(`${folder}: ${messageOf(error)}\n`);
    });
  }
}

/** Of a shim that was killed during a restore. */
async function removeRestore(bundle: string): Promise<void> {
  const { RESTORES, restoreFolder } = await import("../../runtime/checkpoint/restore-place.js");
  if (!existsSync(RESTORES)) return;
  const { removeScratch } = await import("../../runtime/migration/scratch.js");
  await removeScratch(restoreFolder(bundle));
}

/** A server that was killed leaves its socket; one that serves other containers of the group keeps it. */
async function removeDeadSocket(bundle: string): Promise<void> {
  let path: string;
  try {
    path = pathOfAddress(readFileSync(join(bundle, "address"), "utf8"));
  } catch {
    return;
  }
  if (path !== "" && !(await isAlive(path))) rmSync(path, { force: true });
}
