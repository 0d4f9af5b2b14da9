/**
 * Checkpoints: live where that can be done, so that the task stands still only for what changed last; by runC and CRIU alone where
 * it cannot, with a line in the log that says why.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { type CheckpointReport, type Progress, takeCheckpoint } from "../../runtime/checkpoint/checkpoint.js";
import { CheckpointSession, PLAIN_ONLY } from "../../runtime/checkpoint/session.js";
import { MigrationError, type Tracker } from "../../runtime/migration/index.js";
import { forgetUnfinished, noteUnfinished } from "../bundle/unfinished.js";
import { ShimError, wrongState } from "../errors.js";
import { sourceContainer } from "../migration/containers.js";
import { libDir } from "../paths.js";
import { checkpointAtPeer, peerOf } from "./checkpoint-peer.js";
import { keepDumpLog, plainCheckpoint } from "./checkpoint-plain.js";
import type { Container } from "./container.js";

export interface CheckpointRequest {
  /** Folder for the images. */
  readonly path: string;
  /** As the caller has named it, which containerd may have kept to itself; empty: not at all. */
  readonly imagePath: string;
  /** CRIU's log and the like; empty: they are kept of a failure only. */
  readonly workPath: string;
  /** End the task instead of letting it go on. */
  readonly exit: boolean;
  readonly openTcp: boolean;
  readonly externalUnixSockets: boolean;
  readonly terminal: boolean;
  readonly fileLocks: boolean;
  readonly emptyNamespaces: readonly string[];
  readonly parentPath: string;
}

/** What only our own clients can ask for. */
export interface LiveOptions {
  readonly direct: boolean;
  readonly tracker: Tracker;
  readonly signal?: AbortSignal;
  /** The engine stays attached for the next one of this caller, as long as this is not aborted. */
  readonly keep?: AbortSignal | undefined;
  /** Leave out what the caller's last image has, where that lies beside this one. */
  readonly incremental?: boolean;
}

export type CheckpointOutcome =
  | { readonly kind: "live"; readonly report: CheckpointReport }
  | { readonly kind: "plain"; readonly reason: string; readonly totalMs: number };

const ORDINARY: LiveOptions = { direct: false, tracker: "auto" };

/** For containerd: every failure has the code that its clients know, and all that is to say in its message. */
export async function checkpoint(container: Container, request: CheckpointRequest): Promise<void> {
  if (request.path === "") throw new ShimError("UNKNOWN", "no path for the checkpoint", "give one");
  const peer = await peerOf(container, request);
  if (peer !== undefined) return checkpointAtPeer(container, request, peer);
  try {
    await runCheckpoint(container, request, ORDINARY);
  } catch (error) {
    if (!(error instanceof MigrationError)) throw error;
    const { message, remedy, logs } = error;
    const kept = logs === undefined ? "" : await keepDumpLog(container.bundle, logs);
    const hint = [remedy, ...(logs === undefined ? [] : [`logs: ${logs}`])]
      .filter((text) => text !== "")
      .join("; ");
    throw new ShimError("UNKNOWN", `${message}${hint && ` (${hint})`}${kept}`, remedy, error);
  }
}

/**
 * @throws MigrationError when a live checkpoint failed, RuncError or ShimError when another one did: the task is as it was, and
 * nothing of an image is left
 */
export async function runCheckpoint(
  container: Container,
  request: CheckpointRequest,
  options: LiveOptions,
): Promise<CheckpointOutcome> {
  const ground = options.keep ? "background" : "foreground";
  if (ground === "foreground") await container.moves.dismissBackground();
  await container.moves.memoryComplete();
  const lease = container.moves.beginCheckpoint(ground);
  const signals = [lease.dismissed, ...(options.signal ? [options.signal] : [])];
  try {
    return await live(container, request, { ...options, signal: AbortSignal.any(signals) }, (progress) => {
      lease.progress = progress;
    });
  } catch (error) {
    if (!(error instanceof MigrationError) || error.code !== PLAIN_ONLY) throw error;
    return await plainly(container, request, error.message);
  } finally {
    lease.end();
  }
}

async function live(
  container: Container,
  request: CheckpointRequest,
  options: LiveOptions,
  onProgress: (progress: Progress) => void,
): Promise<CheckpointOutcome> {
  const { bundle } = container;
  const { keep: _keep, ...asked } = options;
  let taken: Promise<CheckpointReport> | undefined;
  // Other calls wait until the task runs again; while the image is written nobody has to.
  await container.exclusive("checkpoint", async () => {
    const state = mustBeDumpable(container);
    const reason = whyNotLive(container, request);
    if (reason !== undefined) throw new MigrationError(PLAIN_ONLY, reason);
    const session = await sessionFor(container, request, options);
    await new Promise<void>((released) => {
      taken = takeCheckpoint(sourceContainer(container), {
        to: request.path,
        before: state,
        after: request.exit ? "ended" : "as-before",
        criu: {
          tcpEstablished: request.openTcp,
          externalUnixSockets: request.externalUnixSockets,
          shellJob: request.terminal,
          fileLocks: request.fileLocks,
          emptyNamespaces: request.emptyNamespaces,
          ...(request.workPath === "" ? {} : { workPath: request.workPath }),
        },
        libDir: libDir(),
        ...asked,
        ...(session ? { session } : {}),
        onScratch: (folders) => noteUnfinished(bundle, folders),
        onProgress,
        onReleased: released,
      });
      taken.then(
        () => released(),
        () => released(),
      );
    });
  });
  try {
    const report = await (taken as Promise<CheckpointReport>);
    container.env.log.info({ id: container.id, ...report }, "checkpoint");
    return { kind: "live", report };
  } finally {
    const { folder } = container.tracking;
    if (folder === undefined) forgetUnfinished(bundle);
    else noteUnfinished(bundle, [folder]);
  }
}

/** @returns undefined when this checkpoint tracks for itself */
async function sessionFor(
  container: Container,
  request: CheckpointRequest,
  { keep, tracker }: LiveOptions,
): Promise<CheckpointSession | undefined> {
  if (keep && !request.exit && container.state() === "running") {
    const options = { before: "running", tracker, libDir: libDir() } as const;
    const onScratch = (folder: string) => noteUnfinished(container.bundle, [folder]);
    return container.tracking.keep(keep, () =>
      CheckpointSession.begin(sourceContainer(container), { ...options, onScratch }),
    );
  }
  await container.tracking.end();
  return undefined;
}

async function plainly(
  container: Container,
  request: CheckpointRequest,
  reason: string,
): Promise<CheckpointOutcome> {
  container.env.log.info(
    { id: container.id, reason },
    "checkpoint by runC alone: the task stands still throughout",
  );
  const begun = performance.now();
  await container.exclusive("checkpoint", async () => {
    mustBeDumpable(container);
    await container.tracking.end();
    await plainCheckpoint(container, request);
  });
  return { kind: "plain", reason, totalMs: performance.now() - begun };
}

function mustBeDumpable(container: Container): "running" | "paused" {
  const state = container.state();
  if (state === "running" || state === "paused") return state;
  throw wrongState(`cannot checkpoint a ${state} container`);
}

function whyNotLive(container: Container, request: CheckpointRequest): string | undefined {
  const lib = libDir();
  const missing = ["pclive-engine", "criu/criu"].find((file) => !existsSync(join(lib, file)));
  if (missing !== undefined) return `${join(lib, missing)} is not there`;
  if (request.parentPath !== "") return "a parent's images were given";
  const execs = container.runningExecs();
  return execs.length > 0 ? `processes added by exec run: ${execs.join(", ")}` : undefined;
}
