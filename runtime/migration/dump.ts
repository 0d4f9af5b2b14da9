/**
 * `runc checkpoint` for the skeleton. It is started while the container still runs, CRIU waits before it looks
 * at any task until the engine lets it go on, and it leaves the container as it found it: frozen (or ended, when asked).
 */
import { join } from "node:path";
import { failureIn } from "../criu/log.js";
import type { CheckpointOptions } from "../runc/index.js";
import { quiet, within } from "./deadline.js";
import { MigrationError } from "./error.js";
import { groupMembers, killAll } from "./process.js";
import type { Scratch } from "./scratch.js";
import type { SourceContainer } from "./types.js";

/** What the dump is for, in runC's words. `workPath`, for CRIU's log and the like: by default in the scratch folder. */
export interface DumpOptions
  extends Pick<
    CheckpointOptions,
    "workPath" | "tcpEstablished" | "externalUnixSockets" | "shellJob" | "fileLocks" | "emptyNamespaces"
  > {
  /** Folder of `criu/criu`. */
  readonly libDir: string;
  /** False: CRIU ends the tasks when it is done. */
  readonly leaveRunning: boolean;
}

/** A CRIU that was told to give up cures the tasks from its parasite first: killing it would not. */
const CURE_MS = 20_000;
const KILL_MS = 5_000;

export class SkeletonDump {
  /** Settles when runC has ended: the images are complete, or MigrationError `dump-failed`. */
  readonly ended: Promise<void>;
  readonly #abort = new AbortController();
  #group = 0;

  constructor(
    private readonly container: SourceContainer,
    private readonly scratch: Scratch,
    private readonly options: DumpOptions,
  ) {
    this.ended = quiet(this.#run());
  }

  /**
   * Ends the dump, finished or not, in a way that leaves no task in CRIU's hands: the engine has to be gone
   * before, which makes CRIU give up by itself. Never rejects.
   */
  async stop(): Promise<void> {
    const cured = await within(
      CURE_MS,
      "CRIU's end",
      this.ended.catch(() => undefined),
    ).then(
      () => true,
      () => false,
    );
    if (!cured) this.#abort.abort();
    await within(
      KILL_MS,
      "runC's end",
      this.ended.catch(() => undefined),
    ).catch(() => undefined);
    // runC may have died alone and left CRIU behind.
    if (this.#group) await killAll(groupMembers(this.#group), KILL_MS);
  }

  async #run(): Promise<void> {
    const { container, scratch } = this;
    const { libDir, workPath = scratch.work, ...asked } = this.options;
    try {
      await container.runc.checkpoint(container.id, {
        imagePath: scratch.images,
        workPath,
        ...asked,
        env: scratch.environment(libDir),
        signal: this.#abort.signal,
        timeoutMs: Number.POSITIVE_INFINITY,
        onSpawn: (pid) => {
          this.#group = pid;
        },
      });
    } catch (error) {
      throw await dumpFailure(join(workPath, "dump.log"), error);
    }
  }
}

async function dumpFailure(log: string, error: unknown): Promise<MigrationError> {
  const said = await failureIn(log);
  const message = error instanceof Error ? error.message : String(error);
  return new MigrationError("dump-failed", `the container's state could not be dumped: ${said ?? message}`, {
    remedy: "see dump.log among the kept logs; `pclive check` names what CRIU cannot move",
    cause: error,
  });
}
