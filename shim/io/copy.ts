/** Copies one stream into another, outside of JavaScript. */
import { pump } from "#addon";

export interface Copy {
  /** Resolves when the input has ended, the output is gone, or after `cancel`. Never rejects. */
  readonly done: Promise<void>;
  /** Stops at once; resolves when nothing is copied any more. */
  cancel(): Promise<void>;
}

/**
 * Both descriptors may be closed by the caller at once: the copy holds its own.
 * @param to undefined: what is read is thrown away
 * @param stopWhenLost end when the output is gone, instead of reading on so that the writer need not wait
 */
export function copy(from: number, to: number | undefined, stopWhenLost = false): Copy {
  const running = pump(from, to, { stopWhenLost });
  const done = running.done.then(
    () => undefined,
    () => undefined,
  );
  return { done, cancel: () => running.stop() };
}
