/**
 * `runc checkpoint` for the skeleton. It is started while the container still runs, CRIU waits before it looks
 * at any task until the engine lets it go on, and it leaves the container as it found it: frozen.
 */
import { failureIn } from "../criu/log.js";
import { quiet, within } from "./deadline.js";
import { MigrationError } from "./error.js";
import { groupMembers, killAll } from "./process.js";
import type { Scratch } from "./scratch.js";
import { MOVED_TOO, type SourceContainer } from "./types.js";

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
    libDir: string,
  ) {
    this.ended = quiet(this.#run(libDir));
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

  async #run(libDir: string): Promise<void> {
    const { container, scratch } = this;
    try {
      await container.runc.checkpoint(container.id, {
        imagePath: scratch.images,
        workPath: scratch.work,
        leaveRunning: true,
        ...MOVED_TOO,
        env: scratch.environment(libDir),
        signal: this.#abort.signal,
        timeoutMs: Number.POSITIVE_INFINITY,
        onSpawn: (pid) => {
          this.#group = pid;
        },
      });
    } catch (error) {
      throw await dumpFailure(scratch, error);
    }
  }
}

async function dumpFailure(scratch: Scratch, error: unknown): Promise<MigrationError> {
  const said = await failureIn(`${scratch.work}/dump.log`);
  const message = error instanceof Error ? error.message : String(error);
  return new MigrationError("dump-failed", `the container's state could not be dumped: ${said ?? message}`, {
    remedy: "see dump.log among the kept logs; `pclive check` names what CRIU cannot move",
    cause: error,
  });
}
