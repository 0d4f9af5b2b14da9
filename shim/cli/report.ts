/**
 * The last word of a start: what the launcher (native/launcher) prints for containerd. It reads descriptor 3 to its
 * end; until the report, descriptor 2 is the same channel, for what Node itself may have to complain about.
 */
import { closeSync, constants, openSync, writeSync } from "node:fs";

const CHANNEL = 3;
/** As in native/launcher/launcher.h: an answer; what begins otherwise is the text of an error. */
const ANSWER = "\x06";

export function reportAnswer(answer: string | Uint8Array): void {
  writeAll(Buffer.concat([Buffer.from(ANSWER), Buffer.from(answer)]));
  closeSync(CHANNEL);
}

export function reportError(text: string): void {
  writeAll(Buffer.from(`${text}\n`));
  closeSync(CHANNEL);
}

/**
 * Lets go of what belongs to containerd: descriptor 0, and 2, which from now on is the log (V8 writes its last words
 * there) or nothing.
 */
export function leaveLauncher(log: string): void {
  replace(0, () => openSync("/dev/null", constants.O_RDONLY));
  replace(2, () => {
    try {
      return openSync(log, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch {
      return openSync("/dev/null", constants.O_WRONLY);
    }
  });
}

/** The lowest free number is the one that was closed: nothing else runs in between. */
function replace(fd: number, open: () => number): void {
  closeSync(fd);
  const opened = open();
  if (opened !== fd) throw new Error(`descriptor ${opened} came in the place of ${fd}`);
}

function writeAll(bytes: Buffer): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(CHANNEL, bytes, written);
}
