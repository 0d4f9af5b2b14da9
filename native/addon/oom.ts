import { closeSync, existsSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkAbsolute } from "./check.js";
import { eventFd, readEventFd, watchReadable } from "./descriptors.js";

export interface OomWatch {
  /** Calls back now for what the kernel has told by now, without waiting for the event loop. */
  check(): void;
  /** Idempotent. */
  stop(): void;
}

/**
 * Calls back when a version 1 memory control group runs out of memory, until stopped. The kernel also signals when the
 * group is removed; that is not reported. Costs one descriptor; all of them share the event loop's epoll.
 * @param directory the group's folder below the memory controller
 */
export function watchOom(directory: string, callback: () => void): OomWatch {
  checkAbsolute("directory", directory);
  const events = eventFd();
  try {
    register(directory, events);
  } catch (error) {
    closeSync(events);
    throw error;
  }
  let stopWatch: (() => void) | undefined;
  const stop = () => {
    if (!stopWatch) return;
    stopWatch();
    stopWatch = undefined;
    // Without it the kernel forgets the registration.
    closeSync(events);
  };
  const check = () => {
    if (!stopWatch || readEventFd(events) === 0) return;
    if (existsSync(directory)) callback();
    else stop();
  };
  stopWatch = watchReadable(events, check);
  return { check, stop };
}

function register(directory: string, events: number): void {
  const control = openSync(join(directory, "memory.oom_control"), "r");
  try {
    writeFileSync(join(directory, "cgroup.event_control"), `${events} ${control}`);
  } finally {
    closeSync(control);
  }
}
