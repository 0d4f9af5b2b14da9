import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { checkAbsolute } from "./check.js";
import { eventFd, readEventFd, watchReadable } from "./descriptors.js";

/**
 * Calls back when a version 1 memory control group runs out of memory, until stopped. The kernel also signals when the
 * group is removed; that is not reported.
 * @param directory the group's folder below the memory controller
 */
export function watchOom(directory: string, callback: () => void): () => void {
  checkAbsolute("directory", directory);
  const events = eventFd();
  let control: number | undefined;
  let stopWatch = () => {};
  const stop = () => {
    stopWatch();
    if (control === undefined) return;
    closeSync(events);
    closeSync(control);
    control = undefined;
  };
  try {
    control = openSync(join(directory, "memory.oom_control"), "r");
    writeFileSync(join(directory, "cgroup.event_control"), `${events} ${control}`);
  } catch (error) {
    closeSync(events);
    if (control !== undefined) closeSync(control);
    throw error;
  }
  stopWatch = watchReadable(events, () => {
    if (readEventFd(events) === 0) return;
    if (exists(join(directory, "cgroup.event_control"))) callback();
    else stop();
  });
  return stop;
}

function exists(path: string): boolean {
  try {
    closeSync(openSync(path, "w"));
    return true;
  } catch {
    return false;
  }
}
