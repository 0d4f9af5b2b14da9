import { setTimeout as sleep } from "node:timers/promises";
import { MigrationError } from "./error.js";

/**
 * The outcome of `promise`, or after `ms` milliseconds an error that says what was waited for.
 * The promise itself goes on; whoever started it must end it.
 */
export async function within<T>(ms: number, what: string, promise: Promise<T>, remedy?: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new MigrationError("timeout", `${what} took longer than ${ms} ms`, remedy ? { remedy } : {}));
    }, ms);
  });
  try {
    return await Promise.race([promise, expired]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks `test` every `everyMs` until it says true. False when `ms` milliseconds were not enough. */
export async function until(
  ms: number,
  everyMs: number,
  test: () => boolean | Promise<boolean>,
): Promise<boolean> {
  const end = performance.now() + ms;
  for (;;) {
    if (await test()) return true;
    if (performance.now() >= end) return false;
    await sleep(everyMs);
  }
}

/** Keeps a promise that may fail while nobody listens yet from ending the process. */
export function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** The result, or undefined when it failed: for what has to be tried but must not stop the rest. */
export async function attempt<T>(run: () => Promise<T>): Promise<T | undefined> {
  try {
    return await run();
  } catch {
    return undefined;
  }
}
