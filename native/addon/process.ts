/** Children, signals and who is at the other end of a socket. All throw system errors like Node's own (code, errno, syscall). */
import { readdirSync, readFileSync } from "node:fs";
import { binding, type PeerCred } from "./binding.js";
import { checkFd, checkPid, checkSignal } from "./check.js";

export type { PeerCred } from "./binding.js";

export interface Reaped {
  readonly pid: number;
  /** exit code, or 128 + signal */
  readonly status: number;
}

/** Makes this process (or no longer) the parent of its orphaned descendants. */
export function setSubreaper(on = true): void {
  binding.setSubreaper(on);
}

/**
 * Collects every child that has ended, without waiting and without touching the children in `owned`: those that Node
 * spawned itself, whose ends belong to it. Call it on 'SIGCHLD', and once more after having learnt of a new child.
 */
export function reap(owned: Iterable<number> = []): Reaped[] {
  const keep = owned instanceof Set ? (owned as ReadonlySet<number>) : new Set(owned);
  const reaped: Reaped[] = [];
  const collect = (pid: number) => {
    const status = binding.reapOne(pid);
    if (status !== null) reaped.push({ pid, status });
  };
  for (let pid = binding.peekEnded(); pid !== 0; pid = binding.peekEnded()) {
    if (keep.has(pid)) {
      // The kernel would name this one again and again: the others are to be looked up.
      for (const child of children()) if (!keep.has(child)) collect(child);
      break;
    }
    collect(pid);
  }
  return reaped;
}

/** Pids of all children of this process, zombies among them. */
function children(): number[] {
  const pids: number[] = [];
  for (const thread of readdirSync("/proc/self/task")) {
    let text: string;
    try {
      text = readFileSync(`/proc/self/task/${thread}/children`, "latin1");
    } catch {
      continue; // the thread has ended; its children are now another thread's
    }
    for (const word of text.split(" ")) if (word !== "") pids.push(Number(word));
  }
  return pids;
}

/** The signal that this process gets when its parent ends; 0: none. */
export function setParentDeathSignal(signal: number): void {
  checkSignal("signal", signal);
  binding.setParentDeathSignal(signal);
}

/** A descriptor that names this very process, not whoever gets its pid later. The caller closes it. */
export function pidfdOpen(pid: number): number {
  checkPid("pid", pid);
  return binding.pidfdOpen(pid);
}

/** Sends a signal to the process of a pidfd; fails with ESRCH when it has been reaped. */
export function pidfdSendSignal(pidfd: number, signal: number): void {
  checkFd("pidfd", pidfd);
  checkSignal("signal", signal);
  binding.pidfdSendSignal(pidfd, signal);
}

/** Who connected a unix socket. */
export function getPeerCred(fd: number): PeerCred {
  checkFd("fd", fd);
  return binding.getPeerCred(fd);
}
