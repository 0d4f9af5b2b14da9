/** What the action `delete` answers, and how a server spares it the work. */
import { rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { containerd } from "#protos/shim";
import { errnoOf } from "../errors.js";
import { timestampOf } from "../wire.js";

/** Of a process killed by SIGKILL: what containerd shall tell of an init whose end nobody saw. */
const KILLED = 137;

const answerFile = (bundle: string): string => join(bundle, "deleted");

/** @returns the DeleteResponse, encoded */
export function deleteAnswer(pid: number): Uint8Array {
  const { DeleteResponse } = containerd.task.v2;
  return DeleteResponse.encode({ pid, exitStatus: KILLED, exitedAt: timestampOf(Date.now()) }).finish();
}

/**
 * Nothing is left of the container but its bundle: the action, which containerd runs all the same and waits for, finds
 * its answer here (native/launcher/deleted.c). Without the file it only takes longer.
 */
export function leaveDeleteAnswer(bundle: string, pid: number): void {
  try {
    writeFileSync(answerFile(bundle), deleteAnswer(pid), { mode: 0o600, flag: "wx" });
  } catch {
    rmSync(answerFile(bundle), { force: true });
  }
}

/** The bundle is used again. */
export function forgetDeleteAnswer(bundle: string): void {
  try {
    unlinkSync(answerFile(bundle));
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}
