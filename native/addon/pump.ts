import { binding } from "./binding.js";
import { checkFd } from "./check.js";

export interface PumpOptions {
  /** End when no output is left, instead of reading on and throwing away (default false). */
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

/**
 * Copies what `input` gives to every one of `outputs` (none: it is read and thrown away) in a thread of its own,
 * with 64 KiB in flight at most. Works on duplicates: the caller's descriptors stay the caller's, and may be closed
 * at any time. Their open files become non-blocking. An output that fails is left out.
 */
export function pump(input: number, outputs: readonly number[], options: PumpOptions = {}): Pump {
  checkFd("input", input);
  for (const fd of outputs) checkFd("output", fd);
  const running = binding.startPump(input, outputs, options.stopWhenLost ?? false);
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
