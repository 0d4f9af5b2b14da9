import { binding } from "./binding.js";
import { checkFd } from "./check.js";

export interface PumpOptions {
  /** End when the output is gone, instead of reading on and throwing away (default false). */
  readonly stopWhenLost?: boolean;
}

export interface Pump {
  /**
   * Settles when the input has ended or the pump was stopped: bytes read, or the error of reading. The pump's own
   * copies of the descriptors are closed before that, at once when the input ends.
   */
  readonly done: Promise<number>;
  /** Ends the pump now, whatever it waits for; resolves when it has ended. What it had read may be lost. */
  stop(): Promise<void>;
}

const NONE = -1;

/**
 * Copies what `input` gives to `output` (undefined: it is read and thrown away) in the one thread that all pumps
 * share. Between pipes pages are handed over; otherwise at most 32 KiB are in flight. Works on duplicates: the caller's
 * descriptors stay the caller's, and may be closed at any time. Their open files become non-blocking.
 */
export function pump(input: number, output: number | undefined, options: PumpOptions = {}): Pump {
  checkFd("input", input);
  if (output !== undefined) checkFd("output", output);
  const running = binding.startPump(input, output ?? NONE, options.stopWhenLost ?? false);
  let ended = false;
  const end = () => {
    ended = true;
  };
  const settled = running.done.then(end, end);
  return {
    done: running.done,
    async stop() {
      if (!ended) running.stop();
      await settled;
    },
  };
}
