/** The long-lived part of the shim: serves containerd until the last container is gone. */
import { getgid, getuid } from "node:process";
import { getPeerCred, giveBackMemory, reap, setSubreaper } from "#addon";
import { Server, type TtrpcError, useTransport } from "#ttrpc";
import { type Flags, parseFlags } from "./cli/flags.js";
import { commandRunner } from "./container/command.js";
import type { ShimEnv } from "./container/env.js";
import type { ShimHost } from "./container/migratable.js";
import { Reaper } from "./container/reaper.js";
import { Entrance } from "./entrance.js";
import { messageOf } from "./errors.js";
import { type Delivery, deliveryTo } from "./events/containerd.js";
import { Publisher } from "./events/publisher.js";
import { type Log, openLog } from "./log.js";
import { libDir, runcEnvironment } from "./paths.js";
import { checkpointMethods, measureMethods, migrationMethods } from "./service/lazy.js";
import { Quiet } from "./service/quiet.js";
import { Registry } from "./service/registry.js";
import { Shutdown } from "./service/shutdown.js";
import { taskMethods } from "./service/task.js";
import { leaveWhenVacant } from "./service/vacancy.js";

/** What is left when the last client has its answer: some events for a containerd that is busy. */
const FLUSH_MS = 3000;
const CLOSE_MS = 500;
/** The entrance listens already, wherever that is. */
const ENTRANCE = "(entrance)";

/** On the socket that the launcher has made. */
export async function serveInherited(listening: number): Promise<void> {
  await serveOrLeave(parseFlags(process.argv.slice(2)), Entrance.inherited(listening));
}

/** Serves who comes to the entrance, until a Shutdown. */
export async function serveOrLeave(flags: Flags, entrance: Entrance): Promise<void> {
  try {
    await serve(flags, entrance);
  } catch (error) {
    // The launcher is gone: what is left of descriptor 2 is the log. containerd sees its connection close.
    process.stderr.write(`${error instanceof Error ? error.stack : String(error)}\n`);
    await entrance.close();
    process.exit(1);
  }
}

async function serve(flags: Flags, entrance: Entrance): Promise<void> {
  const log = openLog({
    bundle: process.cwd(),
    namespace: flags.namespace,
    id: flags.id,
    debug: flags.debug,
  });
  const reaper = new Reaper(reap);
  const delivery = deliveryFor(flags);
  const publisher = new Publisher(delivery.deliver, log);
  const quiet = new Quiet(giveBackMemory);
  const lib = libDir();
  const env: ShimEnv = {
    namespace: flags.namespace,
    log,
    reaper,
    events: {
      publish(event) {
        quiet.disturb();
        publisher.publish(event);
      },
      prepare: delivery.prepare,
    },
    runcEnv: runcEnvironment(lib),
    runCommand: commandRunner(reaper),
  };
  const containers = new Registry();
  useTransport(entrance.transport());
  const server = new Server({
    authorize: mustBeOurUser,
    onRefused: (error) => log.warn({ error: messageOf(error) }, "connection refused"),
    onCallFailed: (error, call) => logFailure(log, error, call.method),
  });
  const shutdown = new Shutdown(
    () => containers.size === 0,
    async () => {
      // Its answer to Shutdown goes out first; closing removes the socket.
      await server.close(CLOSE_MS);
      await publisher.flush(FLUSH_MS);
      process.exit(0);
    },
  );
  const host: ShimHost = {
    namespace: flags.namespace,
    log,
    libDir: lib,
    container: (id) => containers.find(id),
    holdShutdown: () => shutdown.hold(),
  };
  const task = taskMethods({ env, containers, shutdown: () => shutdown.request() });
  server.addService("containerd.task.v2.Task", task);
  server.addService("containerd.task.v3.Task", task);
  server.addService("pclive.shim.v1.Migration", migrationMethods(host));
  server.addService("pclive.shim.v1.Checkpoints", checkpointMethods(env, containers));
  server.addService("pclive.shim.v1.Measurements", measureMethods(env, containers));
  surviveMistakes(log);
  setSubreaper();
  reaper.start();
  leaveWhenVacant(containers, () => shutdown.request());
  await server.listen({ path: ENTRANCE });
  log.debug({ pid: process.pid }, "shim serves");
}

function deliveryFor(flags: Flags): Delivery {
  // containerd's own convention for where its ttrpc socket is, when it did not say.
  const path = process.env.TTRPC_ADDRESS || `${flags.address}.ttrpc`;
  return deliveryTo(path.replace(/^unix:\/\//, ""), flags.namespace);
}

function mustBeOurUser(fd: number): void {
  const { uid, gid } = getPeerCred(fd);
  if (uid !== getuid?.() || gid !== getgid?.())
    throw new Error(`user ${uid}:${gid} may not talk to this shim`);
}

function logFailure(log: Log, error: TtrpcError, method: string): void {
  log.info({ method, code: error.code, error: error.message }, "call failed");
}

/** A mistake in one call must not take the containers' supervisor away. */
function surviveMistakes(log: Log): void {
  process.on("uncaughtException", (error) => log.error({ error: error.stack }, "unexpected error"));
  process.on("unhandledRejection", (error) => {
    log.error({ error: error instanceof Error ? error.stack : String(error) }, "unexpected rejection");
  });
  // containerd stops shims by Shutdown; signals to its process group are not for us.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
}
