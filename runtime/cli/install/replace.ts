/** Replacing a file as a whole: who reads it sees the old one or the new one, also after a loss of power. */
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { CliError } from "../exit.js";
import { reason } from "./errors.js";

export interface Owner {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a configuration file is made with when there is none. */
export function ownedByUs(mode: number): Owner {
  return { mode, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

/**
 * @param path a real path: its own links have been followed
 * @param made for a file that is not there yet; one that is there keeps its mode and owner
 * @throws CliError; the old file is then as it was
 */
export function replaceFile(path: string, content: string | Uint8Array, made = ownedByUs(0o644)): void {
  const temporary = `${path}.pclive-new`;
  const owner = statSync(path, { throwIfNoEntry: false }) ?? made;
  try {
    rmSync(temporary, { force: true });
    // Exclusive and private: nobody may have put a link there, nor read the file before its mode is right.
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeFileSync(file, content);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    chownSync(temporary, owner.uid, owner.gid);
    chmodSync(temporary, owner.mode & 0o7777);
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new CliError(
      "WRITE_FAILED",
      `cannot write ${path}: ${reason(error)}`,
      "the file is as it was; see that its file system is writable and not full, and that the file is not immutable (lsattr)",
    );
  }
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
