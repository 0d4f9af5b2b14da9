/** Waits that end. */
import { ShimError } from "./errors.js";

/** A clock that nobody sets. That of `performance` takes milliseconds to load. */
export const uptimeMs = (): number => process.uptime() * 1000;

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @throws ShimError DEADLINE_EXCEEDED after `ms` milliseconds; what was waited for goes on by itself. */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = () => new ShimError("DEADLINE_EXCEEDED", `${what} took longer than ${ms} ms`, "try again");
    timer = setTimeout(() => reject(error()), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** True when `work` ended (well or not) within `ms` milliseconds. */
export async function settledWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = work.then(
    () => true,
    () => true,
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
