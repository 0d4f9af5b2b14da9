/** `-info`: what this runtime is and can do. */
import { containerd, google } from "#protos/shim";
import { Runc, RuncError } from "../../runtime/runc/index.js";
import { DEFAULT_OPTIONS } from "../bundle/options.js";
import { taskOptions } from "../service/requests.js";
import { readInput } from "./bootstrap.js";

const NAME = "io.containerd.pclive.v2";
const VERSION = "0.1.0";
/** Not known to the build: the version tells the source. */
const REVISION = "";
const FEATURES = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

export function version(): string {
  return `containerd-shim-pclive-v2:\n  Runtime:  ${NAME}\n  Version:  ${VERSION}\n  Revision: ${REVISION}\n  Node.js:  ${process.version}\n`;
}

/** @returns the RuntimeInfo, encoded */
export async function info(): Promise<Uint8Array> {
  const input = readInput();
  const options = input.length > 0 ? google.protobuf.Any.decode(input) : null;
  const message = {
    name: NAME,
    version: { version: VERSION, revision: REVISION },
    options,
    features: await features(options),
    annotations: {},
  };
  return containerd.types.RuntimeInfo.encode(message).finish();
}

async function features(
  options: google.protobuf.Any.$Properties | null,
): Promise<google.protobuf.Any.$Properties | null> {
  const { binaryName } = options ? (await taskOptions(options)).runtime : DEFAULT_OPTIONS;
  const runc = new Runc({ binary: binaryName, root: "/run/containerd/runc", log: "/dev/null" });
  const value = await runc.features().catch((error: unknown) => {
    if (error instanceof RuncError && error.code === "RUNC_NOT_FOUND") throw error;
    // Older runC knows no such command: then there is nothing to tell.
    return undefined;
  });
  return value ? { type_url: FEATURES, value: Buffer.from(JSON.stringify(value)) } : null;
}
