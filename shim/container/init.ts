/** The ways in which a container gets its init. */
import { join } from "node:path";
import { MOVED_TOO } from "../../runtime/migration/types.js";
import type { RestoreOptions, Runc } from "../../runtime/runc/index.js";
import { pidFile, readInitPid, readSpecForRunc } from "../bundle/files.js";
import type { RuntimeOptions } from "../bundle/options.js";
import { messageOf, ShimError } from "../errors.js";
import { DeferredIo } from "../io/deferred.js";
import type { ProcessIo } from "../io/types.js";
import type { Log } from "../log.js";
import { libDir } from "../paths.js";
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

/** From a folder of CRIU's images: everything happens at Start. */
export class RestoredInit implements InitSource {
  readonly #context: InitContext;
  readonly #images: string;

  constructor(context: InitContext, images: string) {
    this.#context = context;
    this.#images = images;
  }

  async create(): Promise<number> {
    return 0;
  }

  async start(io: ProcessIo): Promise<number> {
    const deferred = io instanceof DeferredIo ? io : undefined;
    await deferred?.open().catch(streamFailure);
    try {
      return await startAndFindPid(this.#context.bundle, io, "restore", () => this.#restore(io));
    } catch (error) {
      await deferred?.reset();
      throw error;
    }
  }

  /** With the engine when it can, else by runC and CRIU alone. */
  async #restore(io: ProcessIo): Promise<void> {
    const { bundle, options } = this.#context;
    const how = {
      bundle,
      imagePath: this.#images,
      workPath: options.criuWorkPath || join(bundle, "work"),
      pidFile: pidFile(bundle),
      stdio: io.child,
      noPivot: options.noPivotRoot,
      // Whoever took the checkpoint has allowed what is in the image: asked a second time, nobody could answer.
      ...MOVED_TOO,
      ...(io.consoleSocket ? { consoleSocket: io.consoleSocket } : {}),
    };
    try {
      await this.#fromImage(how);
    } catch (error) {
      throw await restoreFailure(join(how.workPath, "restore.log"), error);
    }
  }

  async #fromImage(how: RestoreOptions): Promise<void> {
    const { id, bundle, runc, log } = this.#context;
    const { endFormerConnections } = await import("../../runtime/checkpoint/former-connections.js");
    const { restoreImage } = await import("../../runtime/checkpoint/restore.js");
    const network = readSpecForRunc(bundle).linux?.namespaces?.find(({ type }) => type === "network");
    // A namespace that is made with the container has no past.
    const cleared =
      !network || network.path ? endFormerConnections(how.imagePath, network?.path) : Promise.resolve();
    const outcome = await restoreImage({ id, runc, libDir: libDir(), options: how, cleared });
    if (outcome.kind === "restored") {
      const { filled, ...figures } = outcome;
      log.info({ id, ...figures }, "restored by the engine");
      return this.#context.onFilling(filled);
    }
    log.warn({ id, why: outcome.why }, "the engine cannot restore this; runC does it alone");
    await runc.restore(id, how);
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

/** runC only says that CRIU failed; CRIU's log, which goes with the bundle, says why. */
async function restoreFailure(criuLog: string, error: unknown): Promise<ShimError> {
  const { failureIn } = await import("../../runtime/criu/log.js");
  const why = await failureIn(criuLog);
  return runtimeFailure("restore", why === undefined ? error : new Error(`${messageOf(error)}: ${why}`));
}

async function startAndFindPid(
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
