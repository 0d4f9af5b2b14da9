/** containerd's Task API (versions 2 and 3 are the same messages), on top of the containers. */
import { containerd, google } from "#protos/shim";
import { type Decoded, type MessageType, type Methods, unary } from "#ttrpc";
import type { Container } from "../container/container.js";
import { createContainer } from "../container/create.js";
import type { ShimEnv } from "../container/env.js";
import { addExec } from "../container/exec.js";
import { deleteProcess, killProcess, startProcess } from "../container/lifecycle.js";
import type { Exit } from "../container/migratable.js";
import { anyOf, timestampOf } from "../wire.js";
import type { Registry } from "./registry.js";
import { checkpointRequest, jsonOf, taskOptions } from "./requests.js";
import { stateOf } from "./state.js";
import { toTtrpcError } from "./status.js";

const api = containerd.task.v2;
const { Empty } = google.protobuf;

export interface TaskServiceContext {
  readonly env: ShimEnv;
  readonly containers: Registry;
  /** The user wants the shim gone; nothing happens while it is needed. */
  shutdown(): void;
}

export function taskMethods(context: TaskServiceContext): Methods {
  const { env, containers } = context;
  const on = (request: { id: string }): Container => containers.get(request.id);
  return {
    Create: method(api.CreateTaskRequest, api.CreateTaskResponse, async (request) => {
      const { runtime, migration } = await taskOptions(request.options);
      const { id, bundle, rootfs, stdin, stdout, stderr, terminal, checkpoint } = request;
      const stdio = { stdin, stdout, stderr, terminal };
      const make = () =>
        createContainer(env, { id, bundle, rootfs, stdio, options: runtime, checkpoint, migration });
      const container = await containers.add(id, make);
      return { pid: container.init.pid };
    }),
    Start: method(api.StartRequest, api.StartResponse, async (request) => ({
      pid: await startProcess(on(request), request.execId),
    })),
    State: method(api.StateRequest, api.StateResponse, async (request) =>
      stateOf(on(request), request.execId),
    ),
    Exec: method(api.ExecProcessRequest, Empty, async (request) => {
      const { execId, stdin, stdout, stderr, terminal, spec } = request;
      addExec(on(request), execId, { stdin, stdout, stderr, terminal }, jsonOf(spec, "process"));
      return {};
    }),
    Kill: method(api.KillRequest, Empty, async (request) => {
      await killProcess(on(request), request.execId, request.signal, request.all);
      return {};
    }),
    Wait: method(api.WaitRequest, api.WaitResponse, async (request) =>
      ended(await on(request).process(request.execId).exited),
    ),
    Delete: method(api.DeleteRequest, api.DeleteResponse, async (request) => {
      const { pid, exit } = await deleteProcess(on(request), request.execId);
      if (request.execId === "") containers.remove(request.id);
      return { pid, ...ended(exit) };
    }),
    Pids: method(api.PidsRequest, api.PidsResponse, async (request) => ({
      processes: await processesOf(on(request)),
    })),
    Pause: method(api.PauseRequest, Empty, async (request) => {
      await on(request).pause();
      return {};
    }),
    Resume: method(api.ResumeRequest, Empty, async (request) => {
      await on(request).resume();
      return {};
    }),
    Update: method(api.UpdateTaskRequest, Empty, async (request) => {
      await on(request).update(jsonOf(request.resources, "resources"));
      return {};
    }),
    Checkpoint: method(api.CheckpointTaskRequest, Empty, async (request) => {
      const container = on(request);
      const { checkpoint } = await import("../container/checkpoint.js");
      await checkpoint(container, checkpointRequest(request.path, request.options));
      return {};
    }),
    ResizePty: method(api.ResizePtyRequest, Empty, async (request) => {
      on(request).process(request.execId).resize(request.width, request.height);
      return {};
    }),
    CloseIO: method(api.CloseIORequest, Empty, async (request) => {
      if (request.stdin) on(request).process(request.execId).io?.closeStdin();
      return {};
    }),
    Stats: method(api.StatsRequest, api.StatsResponse, async (request) => {
      // Loaded when asked for: the messages of all counters are the largest part of the shim's code.
      const { statsOf } = await import("../container/stats.js");
      return { stats: await statsOf(await on(request).cgroups) };
    }),
    Connect: method(api.ConnectRequest, api.ConnectResponse, async (request) => ({
      shimPid: process.pid,
      taskPid: containers.find(request.id)?.init.pid ?? 0,
    })),
    Shutdown: method(api.ShutdownRequest, Empty, async () => {
      context.shutdown();
      return {};
    }),
  };
}

function method<Q extends MessageType, S extends MessageType>(
  request: Q,
  response: S,
  handle: (request: Decoded<Q>) => Promise<Parameters<S["encode"]>[0]>,
) {
  return unary(request, response, async (message: Decoded<Q>) => {
    try {
      return await handle(message);
    } catch (error) {
      throw toTtrpcError(error);
    }
  });
}

function ended(exit: Exit | undefined) {
  return exit ? { exitStatus: exit.status, exitedAt: timestampOf(exit.at) } : {};
}

async function processesOf(container: Container) {
  const execs = new Map([...container.execs.values()].map((exec) => [exec.pid, exec.execId]));
  const pids = await container.runc.pids(container.id);
  return pids.map((pid) => {
    const execId = execs.get(pid);
    if (execId === undefined) return { pid };
    const { ProcessDetails } = containerd.runc.v1;
    return { pid, info: anyOf("containerd.runc.v1.ProcessDetails", ProcessDetails, { execId }) };
  });
}
