/**
 * From running to frozen, dumped and sent: the source's half of the pause that a client sees.
 *
 *   (CRIU waits already)   freeze ─┬─ final ── snapshotted ─┬─ last pages travel ─────┬─ skeleton, go ─────┐
 *                          lock ───┘                        ├─ CRIU dumps the rest ───┤                    ├─ frozen still?
 *                                                           └─ (agent) last files ────┘                    │
 *                                                                         └─ CRIU lets go, runC ends ──────┘
 *
 * Stop-and-copy starts runC only after the freeze, as a plain checkpoint would, and CRIU dumps everything.
 */

import type { Recorder } from "../trace/recorder.js";
import { quiet, within } from "./deadline.js";
import { SkeletonDump } from "./dump.js";
import type { Engine } from "./engine.js";
import type { Answer } from "./engine-messages.js";
import { MigrationError } from "./error.js";
import { type Freezer, processesOf } from "./freezer.js";
import type { NetworkLock } from "./netlock.js";
import type { Scratch } from "./scratch.js";
import type { Standstill } from "./standstill.js";
import type { Throttle } from "./throttle.js";
import { type Cgroup, MOVED_TOO, type SourceContainer, type Strategy } from "./types.js";

/** What a source holds from begin to end. */
export interface SourceParts {
  readonly container: SourceContainer;
  readonly cgroup: Cgroup;
  readonly strategy: Strategy;
  readonly libDir: string;
  readonly scratch: Scratch;
  readonly engine: Engine;
  readonly freezer: Freezer;
  readonly lock: NetworkLock | undefined;
  readonly throttle: Throttle | undefined;
  readonly recorder: Recorder;
  dump: SkeletonDump | undefined;
}

/** Times in milliseconds. */
export interface SwitchoverReport {
  /** Unix time. */
  readonly frozenAt: number;
  readonly freezeMs: number;
  readonly lockMs: number;
  /** The look at the standing container's mappings. */
  readonly snapshotMs: number;
  /** That, the look at its page tables, and the last pages, beside the dump. */
  readonly finalPagesMs: number;
  readonly skeletonDumpMs: number;
  readonly skeletonSendMs: number;
  readonly totalMs: number;
  readonly finalPages: number;
  readonly finalBytes: number;
  readonly skeletonBytes: number;
  /** What the final round and the skeleton put on the wire. */
  readonly wireBytes: number;
}

const HELD_MS = 20_000;
const FREEZE_MS = 5_000;
const REFREEZE_MS = 1_000;
const SNAPSHOT_MS = 30_000;
/** Nothing moved for this long: the peer or the engine hangs. */
const STALL_MS = 30_000;
const DUMP_MS = 120_000;
const SKELETON_MS = 60_000;
/** For files of the container that changed last and have to be at the peer before its restore opens them. */
const FILES_MS = 300_000;
/** In stop-and-copy all memory is in the dump, and in the files. */
const FULL_DUMP_MS = 1_800_000;

const NO_PAGES: Answer<"final"> = { pages: 0, bytes: 0, wireBytes: 0, scanMs: 0, sendMs: 0, totalMs: 0 };

/** Starts CRIU so that it is ready when it is needed. */
export function startDump(parts: SourceParts): SkeletonDump {
  const { container, scratch, libDir } = parts;
  if (parts.dump) return parts.dump;
  parts.dump = new SkeletonDump(container, scratch, { libDir, leaveRunning: true, ...MOVED_TOO });
  quiet(parts.recorder.during("runC", "runc checkpoint", parts.dump.ended));
  return parts.dump;
}

/**
 * @param waitForFiles the skeleton waits for the word that the peer has the container's files
 * @throws MigrationError; the container may be frozen and locked then: the caller rolls back
 */
export async function switchOver(
  parts: SourceParts,
  standstill: Standstill,
  waitForFiles: boolean,
): Promise<SwitchoverReport> {
  const { engine, freezer, lock, strategy } = parts;
  const { recorder } = parts;
  if (strategy !== "stop-and-copy") await recorder.during("shim", "wait for CRIU", dumpHeld(parts));
  // Before the freeze: a task that waits for its quota takes up to a period to stop.
  await parts.throttle?.undo();
  const frozenAt = Date.now();
  const begin = performance.now();
  const [freezeMs, lockMs] = await bothSettled(
    recorder.during("shim", "freeze", freezer.freeze(FREEZE_MS)),
    lock ? recorder.during("shim", "network lock", lock.lock()) : Promise.resolve(0),
  );
  standstill.begin({ frozenAt, pids: processesOf(parts.cgroup) });
  const looking = performance.now();
  const snapshotting = strategy === "stop-and-copy" ? copyNothing(parts) : snapshot(engine);
  const final = await recorder.during("shim", "snapshot", snapshotting);
  const dumping = performance.now();
  await engine.request("dump-go", {}, { timeoutMs: HELD_MS });
  const ended = quiet(dumpEnd(parts));
  const [pages, skeletonDumpMs] = await Promise.all([
    recorder.during("engine", "last pages", final(), ({ pages, bytes, wireBytes, scanMs, sendMs }) => ({
      pages,
      bytes,
      wireBytes,
      scanMs,
      sendMs,
    })),
    recorder.during("shim", "skeleton dump", dumped(parts, ended)).then(() => performance.now() - dumping),
  ]);
  if (waitForFiles) {
    const sent = Promise.race([standstill.filesSent, engine.failed]);
    const arrived = within(FILES_MS, "the container's files", sent);
    await recorder.during("shim", "wait for the container's files", arrived);
  }
  const sending = quiet(
    recorder.during("engine", "skeleton sent", sendSkeleton(parts), ({ bytes }) => ({ bytes })),
  );
  // The peer may begin: it holds what it restores until the commit, and that is not before CRIU has succeeded here.
  await recorder.during("shim", "CRIU and runC end", ended);
  // CRIU had to thaw the tasks for its parasite and must have put them back where they were.
  await staysFrozen(freezer);
  const skeleton = await sending;
  return {
    frozenAt,
    freezeMs,
    lockMs,
    snapshotMs: dumping - looking,
    finalPagesMs: pages.totalMs,
    skeletonDumpMs,
    skeletonSendMs: skeleton.ms,
    totalMs: performance.now() - begin,
    finalPages: pages.pages,
    finalBytes: pages.bytes,
    skeletonBytes: skeleton.bytes,
    wireBytes: pages.wireBytes + skeleton.bytes,
  };
}

async function sendSkeleton(parts: SourceParts): Promise<{ bytes: number; ms: number }> {
  const begin = performance.now();
  const timeoutMs = parts.strategy === "stop-and-copy" ? FULL_DUMP_MS : SKELETON_MS;
  const { bytes } = await parts.engine.request("files", { dir: parts.scratch.images }, { timeoutMs });
  return { bytes, ms: performance.now() - begin };
}

/** @throws MigrationError `thawed` when a task may have run */
export async function staysFrozen(freezer: Freezer): Promise<void> {
  if (freezer.state() === "thawed") {
    throw new MigrationError("thawed", "the container was thawed in the middle of its migration", {
      remedy: "leave the container alone (runc resume, docker unpause) while it moves",
    });
  }
  // Tasks that CRIU has just let go take a moment to stop again; not one instruction of theirs runs meanwhile.
  await freezer.awaitState("frozen", REFREEZE_MS);
}

/** Begins the final round; resolves with its (pending) end once CRIU may look at the container. */
export async function snapshot(engine: Engine): Promise<() => Promise<Answer<"final">>> {
  const final = engine.request("final", {}, { timeoutMs: STALL_MS, restartOnProgress: true });
  // A final round that fails never says "snapshotted".
  const failure = final.then(() => new Promise<never>(() => undefined));
  await Promise.race([engine.event("snapshotted", SNAPSHOT_MS), failure]);
  return () => final;
}

async function copyNothing(parts: SourceParts): Promise<() => Promise<Answer<"final">>> {
  await dumpHeld(parts);
  return () => Promise.resolve(NO_PAGES);
}

/** CRIU is up and waits; or runC's reason why it is not. */
async function dumpHeld(parts: SourceParts): Promise<void> {
  await orDumpFailure(startDump(parts), parts.engine.event("dump-held", HELD_MS));
}

/** What is waited for while CRIU waits, too; or the reason why CRIU will be of no use. */
export async function orDumpFailure<T>(dump: SkeletonDump | undefined, wanted: Promise<T>): Promise<T> {
  const tooEarly = dump?.ended.then(() => {
    throw new MigrationError("dump-failed", "runc checkpoint ended before it was told to begin", {
      remedy:
        "check that the installed criu is the one that PCLive brings: without its overlay it does not wait",
    });
  });
  return tooEarly ? Promise.race([wanted, tooEarly]) : wanted;
}

/** The images are complete, though CRIU and runC have not ended yet; or the reason why they will not be. */
async function dumped(parts: SourceParts, ended: Promise<void>): Promise<void> {
  // A dump that ends well has said so before.
  await Promise.race([parts.engine.event("dumped", dumpTime(parts.strategy)), ended]);
}

async function dumpEnd(parts: SourceParts): Promise<void> {
  const ended = Promise.race([startDump(parts).ended, parts.engine.failed]);
  await within(dumpTime(parts.strategy), "runc checkpoint", ended);
}

function dumpTime(strategy: Strategy): number {
  return strategy === "stop-and-copy" ? FULL_DUMP_MS : DUMP_MS;
}

/** Both results, or the first's failure; in any case only when neither is under way any more. */
async function bothSettled<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return [await first, await second];
}
