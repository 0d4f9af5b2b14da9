/** `pclive checkpoint`: asks the container's shim, and tells how it goes. The container is never paused for it. */
import { isAbsolute } from "node:path";
import { pclive } from "#protos/agent";
import { peerPlace } from "../cache/name.js";
import { checkpointToPeer } from "../cache/take.js";
import { getTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import { fromShim, ShimClient } from "../shim-client.js";
import { mustHaveState } from "./subject.js";

type Request = pclive.agent.v1.CheckpointRequest;
const { CheckpointRequest } = pclive.agent.v1;
type Event = pclive.agent.v1.ICheckpointEvent;

/** Terabytes to a slow disk take their time; what hangs is ended by the shim's own limits. */
const TAKE_MS = 24 * 3600 * 1000;
const PROGRESS_MS = 250;
const PROGRESS_TIMEOUT_MS = 5000;

/**
 * Tells everything by events: the last one is a report or a failure.
 * @param signal aborted: the checkpoint is given up, the container runs on
 */
export async function takeCheckpoint(
  context: Context,
  request: Request,
  signal: AbortSignal,
  emit: (event: Event) => void,
): Promise<void> {
  try {
    emit({ report: await take(context, request, signal, emit) });
  } catch (thrown) {
    const { code, message, remedy, logs } = AgentError.from(thrown);
    context.log.warn({ container: request.container, code, logs }, `checkpoint: ${message}`);
    emit({ failure: { code, message, remedy, logs, containerRunsHere: await runs(context, request) } });
  }
}

async function take(
  context: Context,
  request: Request,
  signal: AbortSignal,
  emit: (event: Event) => void,
): Promise<pclive.agent.v1.ICheckpointReport> {
  const { to } = request;
  const place = peerPlace(to);
  if (place) {
    // The shim's part: the container is ended when the peer has all of it.
    const here = CheckpointRequest.create({ ...request, exit: false });
    const takeHere = (folder: string) => takeTo(context, here, folder, signal, emit);
    return checkpointToPeer(context, request, place, { signal, emit, take: takeHere });
  }
  if (!isAbsolute(to)) {
    throw new AgentError("USAGE", `"${to.slice(0, 256)}" is no absolute path`, {
      remedy: "name a folder with --to",
    });
  }
  return takeTo(context, request, to, signal, emit);
}

async function takeTo(
  context: Context,
  request: Request,
  folder: string,
  signal: AbortSignal,
  emit: (event: Event) => void,
): Promise<pclive.agent.v1.ICheckpointReport> {
  const { container } = request;
  const namespace = request.namespace || "default";
  await mustHaveState(context.containerd.namespace(namespace), container);
  const shim = await ShimClient.connect(context.config, namespace, container);
  // The connection is the lease: the shim gives up when it closes.
  const leave = () => shim.close();
  signal.addEventListener("abort", leave, { once: true });
  const over = new AbortController();
  const watched = watch(shim, container, over.signal, emit);
  try {
    const { exit, direct, tracker, tcpEstablished, externalUnixSockets, shellJob, fileLocks } = request;
    const asked = { exit, direct, tracker, tcpEstablished, externalUnixSockets, shellJob, fileLocks };
    const report = await shim.checkpoints.Take(
      { id: container, path: folder, ...asked },
      { timeoutMs: TAKE_MS },
    );
    return { ...report, container, path: folder };
  } catch (error) {
    if (!signal.aborted) throw fromShim(error);
    throw new AgentError("CANCELLED", "the checkpoint was cancelled", {
      remedy: "none: the container runs on",
    });
  } finally {
    over.abort();
    await watched;
    signal.removeEventListener("abort", leave);
    shim.close();
  }
}

async function watch(
  shim: ShimClient,
  id: string,
  over: AbortSignal,
  emit: (event: Event) => void,
): Promise<void> {
  let last = "";
  for (await pause(PROGRESS_MS, over); !over.aborted; await pause(PROGRESS_MS, over)) {
    const progress = await shim.checkpoints
      .TakeProgress({ id }, { timeoutMs: PROGRESS_TIMEOUT_MS })
      .catch(() => undefined);
    if (!progress?.phase || over.aborted) continue;
    const text = JSON.stringify(progress);
    if (text !== last) emit({ progress });
    last = text;
  }
}

async function runs(context: Context, request: Request): Promise<boolean> {
  const ns = context.containerd.namespace(request.namespace || "default");
  const task = await getTask(ns, request.container).catch(() => undefined);
  return task?.status === "running";
}
