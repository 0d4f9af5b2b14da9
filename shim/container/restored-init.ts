/** A container that goes on from a folder of CRIU's images. */
import { join } from "node:path";
import type { BegunRestore } from "../../runtime/checkpoint/restore.js";
import { MOVED_TOO } from "../../runtime/migration/types.js";
import type { RestoreOptions } from "../../runtime/runc/index.js";
import { pidFile, readSpecForRunc } from "../bundle/files.js";
import { messageOf, type ShimError } from "../errors.js";
import { DeferredIo } from "../io/deferred.js";
import type { ProcessIo } from "../io/types.js";
import { libDir } from "../paths.js";
import { type InitContext, type InitSource, runtimeFailure, startAndFindPid, streamFailure } from "./init.js";

/** A client starts at once what it has created, or much later. */
const EARLY_MS = 10_000;

/**
 * Everything happens at Start, but for what nobody can see: at Create the engine begins to read the image and to check its sums.
 */
export class RestoredInit implements InitSource {
  readonly #context: InitContext;
  readonly #images: string;
  #early: Promise<BegunRestore> | undefined;
  #expiry: NodeJS.Timeout | undefined;
  /** The next try has its files in the same place. */
  #dropped: Promise<void> = Promise.resolve();

  constructor(context: InitContext, images: string) {
    this.#context = context;
    this.#images = images;
  }

  async create(): Promise<number> {
    // Behind the answer to Create, on whose way back there is time.
    this.#early = new Promise<void>((resolve) => setImmediate(resolve)).then(() => this.#begin());
    this.#early.catch(() => undefined);
    this.#expiry = setTimeout(() => void this.drop(), EARLY_MS).unref();
    return 0;
  }

  async drop(): Promise<void> {
    const early = this.#takeEarly();
    if (early) this.#dropped = early.then((begun) => begun.drop()).catch(() => undefined);
    await this.#dropped;
  }

  async start(io: ProcessIo): Promise<number> {
    const deferred = io instanceof DeferredIo ? io : undefined;
    try {
      await deferred?.open().catch(streamFailure);
      return await startAndFindPid(this.#context.bundle, io, "restore", () => this.#restore(io));
    } catch (error) {
      await this.drop();
      await deferred?.reset();
      throw error;
    }
  }

  /** Whoever has it ends it. */
  #takeEarly(): Promise<BegunRestore> | undefined {
    clearTimeout(this.#expiry);
    const early = this.#early;
    this.#early = undefined;
    return early;
  }

  async #begin(): Promise<BegunRestore> {
    const { beginRestore } = await import("../../runtime/checkpoint/restore.js");
    const { bundle } = this.#context;
    return beginRestore({ libDir: libDir(), bundle, imagePath: this.#images });
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

  async #fromImage(options: RestoreOptions): Promise<void> {
    const { id, bundle, runc, log, onFilling } = this.#context;
    const early = this.#takeEarly();
    await this.#dropped;
    const begun = await (early ?? this.#begin());
    const { endFormerConnections } = await import("../../runtime/checkpoint/former-connections.js");
    const network = readSpecForRunc(bundle).linux?.namespaces?.find(({ type }) => type === "network");
    // A namespace that is made with the container has no past.
    const cleared =
      !network || network.path ? endFormerConnections(options.imagePath, network?.path) : Promise.resolve();
    const outcome = await begun.finish({ id, runc, options, cleared });
    if (outcome.kind === "restored") {
      const { filled, ...figures } = outcome;
      log.info({ id, ...figures }, "restored by the engine");
      return onFilling(filled);
    }
    log.warn({ id, why: outcome.why }, "the engine cannot restore this; runC does it alone");
    await runc.restore(id, options);
  }
}

/** runC only says that CRIU failed; CRIU's log, which goes with the bundle, says why. */
async function restoreFailure(criuLog: string, error: unknown): Promise<ShimError> {
  const { failureIn } = await import("../../runtime/criu/log.js");
  const why = await failureIn(criuLog);
  return runtimeFailure("restore", why === undefined ? error : new Error(`${messageOf(error)}: ${why}`));
}
