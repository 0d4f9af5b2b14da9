/** The last word of a start: what the launcher (native/launcher) prints for containerd. */
import { report } from "#addon";

/** As in native/launcher/launcher.h: an answer; what begins otherwise is the text of an error. */
const ANSWER = "\x06";

export function reportAnswer(answer: string | Uint8Array): void {
  report(Buffer.concat([Buffer.from(ANSWER), Buffer.from(answer)]));
}

export function reportError(text: string): void {
  report(Buffer.from(`${text}\n`));
}
