/** Pipes, events and the size of terminals. */
import { binding } from "./binding.js";
import { checkFd, checkUint16 } from "./check.js";

/** A pipe, closed on exec: [reading end, writing end]. */
export function pipe(): [read: number, write: number] {
  return binding.pipe();
}

/** A new eventfd: closed on exec, never blocking. */
export function eventFd(): number {
  return binding.eventFd();
}

/** The count of an eventfd since it was last read; 0: nothing happened. */
export function readEventFd(fd: number): number {
  checkFd("fd", fd);
  return binding.readEventFd(fd);
}

/**
 * Calls back whenever `fd` (eventfd, pidfd, inotify …) is readable, until stopped: the callback has to read it or stop.
 * Does not keep the process alive. Stop before closing the descriptor.
 */
export function watchReadable(fd: number, callback: () => void): () => void {
  checkFd("fd", fd);
  return binding.watchReadable(fd, callback);
}

/** Tells a terminal (its master or slave side) its size in characters. */
export function setWinsize(fd: number, columns: number, rows: number): void {
  checkFd("fd", fd);
  checkUint16("columns", columns);
  checkUint16("rows", rows);
  binding.setWinsize(fd, columns, rows);
}

/** CLOCK_REALTIME in nanoseconds. */
export function realtimeNs(): bigint {
  return binding.realtimeNs();
}
