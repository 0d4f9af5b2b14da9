/** The ways in which a container gets its init. */
import type { Runc } from "../../runtime/runc/index.js";
import { pidFile, readInitPid } from "../bundle/files.js";
import type { RuntimeOptions } from "../bundle/options.js";
import { messageOf, ShimError } from "../errors.js";
import type { ProcessIo } from "../io/types.js";
import type { Log } from "../log.js";
import type { Reaper } from "./reaper.js";

export interface InitContext {
  readonly id: string;
  readonly bundle: string;
  readonly runc: Runc;
  readonly options: RuntimeOptions;
  readonly reaper: Reaper;
  readonly log: Log;
  /** Told of a restored task that runs, but lacks memory until then. */
  readonly onFilling: (filled: Promise<void>) => void;
}

/** Runs at Create and at Start, at most once each. Both answer init's pid; 0 when there is none yet. */
export interface InitSource {
  create(io: ProcessIo): Promise<number>;
  start(io: ProcessIo, pid: number): Promise<number>;
  /** Before a delete: what waits for a Start that will not come is taken back. Idempotent, never rejects. */
  drop?(): Promise<void>;
}

/** The ordinary way: runC makes everything at Create and lets it go at Start. */
export class FreshInit implements InitSource {
  readonly #context: InitContext;

  constructor(context: InitContext) {
    this.#context = context;
  }

  async create(io: ProcessIo): Promise<number> {
    const { id, bundle, runc, options } = this.#context;
    return startAndFindPid(bundle, io, "create", () =>
      runc.create(id, {
        bundle,
        pidFile: pidFile(bundle),
        stdio: io.child,
        noPivot: options.noPivotRoot,
        noNewKeyring: options.noNewKeyring,
        ...(io.consoleSocket ? { consoleSocket: io.consoleSocket } : {}),
      }),
    );
  }

  async start(_io: ProcessIo, pid: number): Promise<number> {
    try {
      await this.#context.runc.start(this.#context.id);
    } catch (error) {
      throw runtimeFailure("start", error);
    }
    return pid;
  }
}

/** runC's own error, in the words that clients of containerd know. */
export function runtimeFailure(what: string, error: unknown): ShimError {
  if (error instanceof ShimError) return error;
  const remedy = "see log.json in the bundle";
  return new ShimError("UNKNOWN", `OCI runtime ${what} failed: ${messageOf(error)}`, remedy, error);
}

/** Streams that cannot be opened: UNKNOWN, whatever the reason, is what clients know. */
export function streamFailure(error: unknown): never {
  const remedy = error instanceof ShimError ? error.remedy : "see the shim's log";
  throw new ShimError("UNKNOWN", `standard streams: ${messageOf(error)}`, remedy, error);
}

/** Runs runC and reads what it left. @returns init's pid */
export async function startAndFindPid(
  bundle: string,
  io: ProcessIo,
  what: string,
  run: () => Promise<void>,
): Promise<number> {
  try {
    await run();
    await io.started();
    const pid = readInitPid(bundle);
    if (pid === undefined)
      throw new ShimError("UNKNOWN", "runC has written no pid", "use a released runC, 1.1 or later");
    return pid;
  } catch (error) {
    throw runtimeFailure(what, error);
  }
}
