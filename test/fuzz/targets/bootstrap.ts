/** What containerd writes to `start`, and the options of a task: taken, or passed over, or refused by an error. */
import assert from "node:assert/strict";
import { containerd as messages } from "#protos/bootstrap";
import { containerd, google } from "#protos/shim";
import { parseBootstrap } from "../../../shim/cli/bootstrap.js";
import { parseFlags } from "../../../shim/cli/flags.js";
import { ShimError } from "../../../shim/errors.js";
import { checkpointRequest, taskOptions } from "../../../shim/service/requests.js";
import { mutateProtobuf } from "../mutate-protobuf.js";
import type { Target } from "../target.js";

const { Any } = google.protobuf;
const FLAGS = parseFlags(["-namespace", "default", "-id", "a", "-address", "/run/c.sock", "start"]);
const OPTIONS = {
  type_url: "containerd.runc.v1.Options",
  value: containerd.runc.v1.Options.encode({ shimCgroup: "/x", binaryName: "runc", ioUid: 7 }).finish(),
};
const PARAMS = {
  instanceId: "a",
  namespace: "default",
  logLevel: -4,
  extensions: [{ value: OPTIONS }],
  socketDir: "/run/s",
};

export const bootstrap: Target = {
  name: "bootstrap",
  seeds: [
    Buffer.from(messages.runtime.bootstrap.v1.BootstrapParams.encode(PARAMS).finish()),
    Buffer.from(Any.encode(OPTIONS).finish()),
    Buffer.alloc(0),
  ],
  mutate: (random, input) => mutateProtobuf(random, input),
  covers: ["/shim/", "/protobufjs/", "/build/protos/"],
  async run(input) {
    const { shimCgroup, debug, socketDir } = parseBootstrap(input, FLAGS);
    assert.deepEqual(
      [typeof shimCgroup, typeof debug, typeof (socketDir ?? "")],
      ["string", "boolean", "string"],
    );
    const any = decoded(input);
    if (any === undefined) return;
    for (const read of [() => taskOptions(any), () => checkpointRequest("/p", any)]) {
      try {
        await read();
      } catch (error) {
        if (!(error instanceof ShimError)) throw error;
      }
    }
  },
};

function decoded(input: Buffer): google.protobuf.Any | undefined {
  try {
    return Any.decode(input);
  } catch {
    return undefined;
  }
}
