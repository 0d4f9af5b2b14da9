/** Makes a container of a Create request; whatever fails is undone before the error is told. */
import { existsSync } from "node:fs";
import { forgetDeleteAnswer } from "../bundle/deleted.js";
import { readSpecForRunc, rootfsOf, writeOptions } from "../bundle/files.js";
import type { RuntimeOptions } from "../bundle/options.js";
import { notFound } from "../errors.js";
import * as events from "../events/events.js";
import { DeferredIo } from "../io/deferred.js";
import { openMigratedIo, openProcessIo } from "../io/open.js";
import { schemeOf } from "../io/sinks.js";
import type { ProcessIo, StdioPaths } from "../io/types.js";
import type { Mount } from "../wire.js";
import { Container } from "./container.js";
import type { ShimEnv } from "./env.js";
import { ExitWatch } from "./exits.js";
import { IncomingInit } from "./incoming.js";
import { FreshInit, type InitContext, type InitSource, streamFailure } from "./init.js";
import { TaskProcess } from "./process.js";
import { RestoredInit } from "./restored-init.js";
import { mountRootfs, unmountRootfs } from "./rootfs.js";
import { runcFor } from "./runc.js";

export interface CreateRequest {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: Mount[];
  readonly stdio: StdioPaths;
  readonly options: RuntimeOptions;
  /** Folder of CRIU's images; empty: an ordinary start. */
  readonly checkpoint: string;
  /** Set when a migration brings the processes. */
  readonly migration: string | undefined;
}

export async function createContainer(env: ShimEnv, request: CreateRequest): Promise<Container> {
  const { id, bundle, options } = request;
  const undo: (() => Promise<void>)[] = [];
  if (!existsSync(bundle)) throw notFound(`bundle ${bundle}: no such file or directory`);
  try {
    forgetDeleteAnswer(bundle);
    writeOptions(bundle, options);
    undo.push(() => unmountRootfs(rootfsOf(bundle)));
    await mountRootfs(request.rootfs, rootfsOf(bundle), env.runCommand);
    const spec = readSpecForRunc(bundle);
    const init = new TaskProcess("", request.stdio);
    const runc = runcFor(env, bundle, options);
    const container = new Container({ env, id, bundle, runc, options, init, spec });
    const io = await prepareInit(env, request, container);
    undo.push(() => io.close());
    await createInit(env, container, io);
    publishCreated(env, request, init.pid);
    return container;
  } catch (error) {
    for (const step of undo.reverse())
      await step().catch((cause: unknown) => env.log.warn({ id, cause }, "undo failed"));
    throw error;
  }
}

/** Opens init's streams and decides where init comes from. */
async function prepareInit(env: ShimEnv, request: CreateRequest, container: Container): Promise<ProcessIo> {
  const exits = new ExitWatch(container);
  const owner = { namespace: env.namespace, id: container.id };
  const { options, stdio } = request;
  if (request.migration !== undefined) {
    const io = await openMigratedIo(stdio, owner, options);
    const incoming = new IncomingInit(request.migration, io, env.reaper, {
      adopted: (pid) => {
        container.init.pid = pid;
        exits.holdForStart();
        exits.watchInit(pid);
      },
      failed: () => container.init.setExited({ status: 255, at: Date.now() }),
    });
    container.assemble(incoming, exits, incoming);
    container.init.attach(io);
    return io;
  }
  const open = () => openProcessIo(stdio, owner, options);
  // Files and logging programs nobody waits for; that they cannot be had is told now.
  const defers = imagesOf(request) !== "" && schemeOf(stdio.stdout) === "fifo";
  const io = defers ? new DeferredIo(open) : await open().catch(streamFailure);
  container.assemble(sourceOf(env, request, container), exits, undefined);
  container.init.attach(io);
  return io;
}

function sourceOf(env: ShimEnv, request: CreateRequest, container: Container): InitSource {
  const { id, bundle, runc, options } = container;
  const { reaper, log } = env;
  const onFilling = (filled: Promise<void>) => {
    filled.catch((error: unknown) =>
      log.error({ id, error }, "the restored task was ended: its memory is not complete"),
    );
    container.moves.fillUntil(filled);
  };
  const context: InitContext = { id, bundle, runc, options, reaper, log, onFilling };
  const images = imagesOf(request);
  return images === "" ? new FreshInit(context) : new RestoredInit(context, images);
}

/** Folder of CRIU's images; empty: an ordinary start. */
function imagesOf({ checkpoint, options }: CreateRequest): string {
  return checkpoint || options.criuImagePath;
}

async function createInit(env: ShimEnv, container: Container, io: ProcessIo): Promise<void> {
  const expected = env.reaper.expectStart();
  try {
    const created = container.source.create(io);
    // While runC works.
    env.events.prepare();
    const pid = await created;
    container.init.pid = pid;
    if (pid !== 0) container.exits.watchInit(pid);
  } finally {
    expected.done();
  }
}

function publishCreated(env: ShimEnv, request: CreateRequest, pid: number): void {
  const { id, bundle, rootfs, stdio, checkpoint } = request;
  env.events.publish(events.created({ id, bundle, rootfs, stdio, checkpoint, pid }));
}
