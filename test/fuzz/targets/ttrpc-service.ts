/** A service with methods of every kind, on containerd's messages, and a proper conversation with it. */
import { containerd, google } from "#protos/shim";
import { encodeFrame, type Methods, streaming, TtrpcError, unary } from "#ttrpc";
import { checkpointRequest, jsonOf, taskOptions } from "../../../shim/service/requests.js";
import { toTtrpcError } from "../../../shim/service/status.js";
import { encodeRequest } from "../../../shim/ttrpc/wire.js";

const api = containerd.task.v2;
const { Any, Empty } = google.protobuf;

export const SERVICE = "containerd.task.v2.Task";

export const METHODS: Methods = {
  Create: unary(api.CreateTaskRequest, api.CreateTaskResponse, async ({ options }) => {
    await taskOptions(options).catch((error: unknown) => {
      throw toTtrpcError(error);
    });
    return { pid: 1 };
  }),
  Exec: unary(api.ExecProcessRequest, Empty, ({ spec }) => {
    orTtrpcError(() => jsonOf(spec, "process"));
    return {};
  }),
  Checkpoint: unary(api.CheckpointTaskRequest, Empty, ({ path, options }) => {
    orTtrpcError(() => checkpointRequest(path, options));
    return {};
  }),
  Update: unary(api.UpdateTaskRequest, Empty, ({ resources }) => {
    orTtrpcError(() => jsonOf(resources, "resources"));
    return {};
  }),
  Wait: unary(api.WaitRequest, api.WaitResponse, async (_request, { signal }) => {
    if (!signal.aborted)
      await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    throw new TtrpcError(1, "gone");
  }),
  Sum: streaming("client", Any, Any, async (stream) => {
    let sum = 0;
    for await (const { value } of stream) sum += value.length;
    return { type_url: String(sum) };
  }),
  Count: streaming("server", Any, Any, async (stream) => {
    for await (const message of stream) for (let i = 0; i < 3; i += 1) await stream.send(message);
  }),
  Chat: streaming("both", Any, Any, async (stream) => {
    for await (const message of stream) await stream.send(message);
  }),
};

function orTtrpcError(parse: () => unknown): void {
  try {
    parse();
  } catch (error) {
    throw toTtrpcError(error);
  }
}

/** Request and data frames for all methods, as a client would send them. */
export function conversation(): Buffer {
  const options = {
    type_url: "containerd.runc.v1.Options",
    value: containerd.runc.v1.Options.encode({ binaryName: "runc", root: "/run/runc", ioUid: 7 }).finish(),
  };
  const checkpoint = {
    type_url: "containerd.runc.v1.CheckpointOptions",
    value: containerd.runc.v1.CheckpointOptions.encode({ exit: true, emptyNamespaces: ["net"] }).finish(),
  };
  const json = {
    type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process",
    value: Buffer.from("{}"),
  };
  const mount = { type: "bind", source: "/a", target: "/b", options: ["ro", "rbind"] };
  const word = Any.encode({ type_url: "a", value: Buffer.from("b") }).finish();
  const create = api.CreateTaskRequest.encode({
    id: "c",
    bundle: "/b",
    rootfs: [mount, mount],
    stdout: "/o",
    options,
  });
  return Buffer.concat([
    request(1, "Create", create.finish()),
    request(3, "Exec", api.ExecProcessRequest.encode({ id: "c", execId: "e", spec: json }).finish()),
    request(
      5,
      "Checkpoint",
      api.CheckpointTaskRequest.encode({ id: "c", path: "/p", options: checkpoint }).finish(),
    ),
    request(
      7,
      "Update",
      api.UpdateTaskRequest.encode({ id: "c", resources: json, annotations: { a: "b" } }).finish(),
    ),
    request(9, "Wait", api.WaitRequest.encode({ id: "c" }).finish(), 0, 1_000_000),
    request(11, "Wait", api.WaitRequest.encode({ id: "c" }).finish()),
    request(13, "Sum", new Uint8Array(0), 2),
    encodeFrame(13, 3, 0, word),
    encodeFrame(13, 3, 5, new Uint8Array(0)),
    request(15, "Count", word, 1),
    request(17, "Chat", new Uint8Array(0), 2),
    encodeFrame(17, 3, 0, word),
    encodeFrame(17, 3, 1, word),
    request(19, "Nothing", word),
  ]);
}

function request(stream: number, method: string, payload: Uint8Array, flags = 0, timeoutNano = 0): Buffer {
  const metadata = new Map([["containerd-namespace-ttrpc", ["default"]]]);
  return encodeFrame(
    stream,
    1,
    flags,
    encodeRequest({ service: SERVICE, method, payload, timeoutNano, metadata }),
  );
}
