/**
 * `runc restore`: started before there is anything to restore (pipelined) or when the images are complete. In both
 * cases CRIU stops when all tasks are rebuilt, and resumes them only at the release.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { failureIn } from "../criu/log.js";
import { type CallOptions, parsePidFile } from "../runc/index.js";
import { quiet, within } from "./deadline.js";
import { MigrationError } from "./error.js";
import { family, groupMembers, killAll, type ProcessIdentity } from "./process.js";
import { orphansOfContainer, usersOfScratch } from "./remains.js";
import { type Scratch, unmountBelow } from "./scratch.js";
import { type DestinationContainer, MOVED_TOO } from "./types.js";

const STOP_MS = 2_000;
const KILL_MS = 5_000;
const DELETE_MS = 20_000;

/** What a restore is of, and how runC is called for it. */
export interface RestoreRun {
  readonly container: Pick<DestinationContainer, "id" | "bundle" | "runc">;
  /** The scratch folder: whatever uses it belongs to the restore. */
  readonly root: string;
  readonly pidFile: string;
  run(call: Pick<CallOptions, "signal" | "onSpawn">): Promise<void>;
}

export class HeldRestore {
  /** Settles when runC has ended: the tasks run, or what `run` has thrown. */
  readonly ended: Promise<void>;
  readonly #abort = new AbortController();
  readonly #what: RestoreRun;
  #group = 0;
  #restored: readonly ProcessIdentity[] = [];

  constructor(what: RestoreRun) {
    this.#what = what;
    const onSpawn = (pid: number) => {
      this.#group = pid;
    };
    this.ended = quiet(what.run({ signal: this.#abort.signal, onSpawn }));
  }

  /**
   * The restored init's pid, once runC has ended.
   * @throws MigrationError `restore-failed`, `timeout`
   */
  async pid(timeoutMs: number): Promise<number> {
    await within(timeoutMs, "runc restore", this.ended);
    const pid = parsePidFile(await readFile(this.#what.pidFile, "utf8").catch(() => ""));
    if (pid === undefined)
      throw new MigrationError("restore-failed", "runc restore left no pid of the restored init");
    return pid;
  }

  /** Remembers the tasks that are held, so that they can be found when runC and CRIU are dead. */
  held(): void {
    this.#restored = this.#group ? family(this.#group) : [];
  }

  /**
   * Ends the restore before the release; the tasks, which have not run, go with it. The engine has to be gone
   * before: CRIU then kills what it has built by itself.
   * @throws MigrationError when something of it stays
   */
  async stop(): Promise<void> {
    if (this.#restored.length === 0) this.held();
    const ended = await within(
      STOP_MS,
      "CRIU's end",
      this.ended.catch(() => undefined),
    ).then(
      () => true,
      () => false,
    );
    if (!ended) this.#abort.abort();
    await within(
      KILL_MS,
      "runC's end",
      this.ended.catch(() => undefined),
    ).catch(() => undefined);
    // Either may have been killed by somebody else, and the tasks been left without a keeper. CRIU first:
    // it might be about to make more of them.
    await killAll(
      [...(this.#group ? groupMembers(this.#group) : []), ...usersOfScratch(this.#what.root)],
      KILL_MS,
    );
    const { bundle, id } = this.#what.container;
    await killAll([...this.#restored, ...orphansOfContainer(bundle, id)], KILL_MS);
    await this.#clearRunc();
  }

  /** runC keeps the state of a restore that failed, a mount included, and would refuse the next one. */
  async #clearRunc(): Promise<void> {
    const { id, runc } = this.#what.container;
    await unmountBelow(join(runc.root, id, "criu-root"));
    await runc.delete(id, { force: true, timeoutMs: DELETE_MS }).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== "CONTAINER_NOT_FOUND") throw error;
    });
  }
}

/**
 * The restore of what a migration brings.
 * @param imageDir absolute: runC resolves it in another folder than it looks for descriptors.json
 * @param stdio descriptors 0-2 for the restored init
 */
export function restoreMoved(
  container: DestinationContainer,
  scratch: Scratch,
  imageDir: string,
  stdio: readonly [number, number, number],
  libDir: string,
): HeldRestore {
  const { root, pidFile } = scratch;
  const options = {
    ...{ bundle: container.bundle, pidFile, stdio },
    ...{ imagePath: imageDir, workPath: scratch.work, ...MOVED_TOO },
    ...{ env: scratch.environment(libDir), timeoutMs: Number.POSITIVE_INFINITY },
  };
  return new HeldRestore({
    ...{ container, root, pidFile },
    run: async (call) => {
      try {
        await container.runc.restore(container.id, { ...options, ...call });
      } catch (error) {
        throw await restoreFailure(scratch, error);
      }
    },
  });
}

async function restoreFailure(scratch: Scratch, error: unknown): Promise<MigrationError> {
  const said = await failureIn(join(scratch.work, "restore.log"));
  const message = error instanceof Error ? error.message : String(error);
  return new MigrationError("restore-failed", `the container could not be restored: ${said ?? message}`, {
    remedy: "see restore.log among the kept logs; the container goes on at the source",
    cause: error,
  });
}
