/** Reads the parts of containerd's requests that are packed messages or JSON. */
import { containerd, pclive } from "#protos/shim";
import { DEFAULT_OPTIONS, type RuntimeOptions } from "../bundle/options.js";
import type { CheckpointRequest } from "../container/checkpoint.js";
import { ShimError } from "../errors.js";
import { type Any, bytesOf, typeNameOf } from "../wire.js";
import { decoded, RUNC_OPTIONS, runtimeOptions } from "./runtime-options.js";

const { CheckpointOptions } = containerd.runc.v1;
const { IncomingOptions } = pclive.shim.v1;

const CHECKPOINT_OPTIONS = "containerd.runc.v1.CheckpointOptions";

export interface TaskOptions {
  readonly runtime: RuntimeOptions;
  /** Set when a migration brings the task's processes. */
  readonly migration: string | undefined;
}

/**
 * Options of another type are those of another runtime: none for us, as the runc shim has it.
 * @throws ShimError for options that cannot be decoded, INVALID_ARGUMENT for a migration without an id
 */
export async function taskOptions(any: Any | null | undefined): Promise<TaskOptions> {
  if (!any?.type_url) return { runtime: DEFAULT_OPTIONS, migration: undefined };
  const runtime = await runtimeOptions(any);
  if (typeNameOf(any) !== RUNC_OPTIONS) return { runtime, migration: undefined };
  const { migration } = decoded(RUNC_OPTIONS, () => IncomingOptions.decode(bytesOf(any)));
  if (migration === "") return { runtime, migration: undefined };
  if (!/^[0-9a-f]{32}$/.test(migration)) {
    throw new ShimError(
      "INVALID_ARGUMENT",
      "the migration's id must be 32 hex digits",
      "see the agent's log",
    );
  }
  return { runtime, migration };
}

/** Without options: the task goes on, as the runc shim has it. */
export function checkpointRequest(path: string, any: Any | null | undefined): CheckpointRequest {
  const known = any?.type_url ? typeNameOf(any) : CHECKPOINT_OPTIONS;
  if (known !== CHECKPOINT_OPTIONS) {
    throw new ShimError("UNKNOWN", `checkpoint options of type ${known} are not supported`);
  }
  const options = decoded(known, () => CheckpointOptions.decode(any ? bytesOf(any) : new Uint8Array()));
  return {
    path,
    imagePath: options.imagePath,
    workPath: options.workPath,
    exit: options.exit,
    openTcp: options.openTcp,
    externalUnixSockets: options.externalUnixSockets,
    terminal: options.terminal,
    fileLocks: options.fileLocks,
    emptyNamespaces: options.emptyNamespaces,
    parentPath: options.parentPath,
  };
}

/** The text of a JSON payload (an OCI process, or resources). */
export function jsonOf(any: Any | null | undefined, what: string): string {
  if (!any?.value?.length)
    throw new ShimError("INVALID_ARGUMENT", `no ${what} in the request`, "send it as JSON");
  return Buffer.from(any.value).toString("utf8");
}
