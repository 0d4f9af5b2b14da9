/**
 * The engine that copies a container's memory, attached to its processes. It serves one checkpoint, or stays attached for the
 * next one, which then has to read only what was written in between, and may leave out of its image what the last one has.
 */
import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { attempt } from "../migration/deadline.js";
import { Engine } from "../migration/engine.js";
import type { EngineEvent } from "../migration/engine-messages.js";
import { MigrationError } from "../migration/error.js";
import { PLACES, type Places, Scratch, SPOOL } from "../migration/scratch.js";
import type { Cgroup, SourceContainer, Tracker } from "../migration/types.js";

export interface SessionOptions {
  /** Of a container that is paused nothing is tracked: it serves one checkpoint only. */
  readonly before: "running" | "paused";
  readonly tracker: Tracker;
  /** Folder of `pclive-engine` and `criu/criu`. */
  readonly libDir: string;
  /** Where memory goes that has no room in memory twice. */
  readonly spool?: string | undefined;
  readonly places?: Places | undefined;
  /** Called with the folder that has to be removed should this process die. */
  readonly onScratch: (folder: string) => void;
}

/** The code of the error that tells that a checkpoint can be taken, but not while the container runs. */
export const PLAIN_ONLY = "plain-only";

const BEGIN_MS = 30_000;

export class CheckpointSession {
  /** Takes the engine's events; set by the checkpoint under way. */
  onEvent: (event: EngineEvent) => void = () => undefined;
  /** Folder of the image that was written last: what the next one may have as its parent. */
  last: string | undefined;
  #ended = false;

  private constructor(
    readonly scratch: Scratch,
    readonly engine: Engine,
    readonly cgroup: Cgroup,
    /** Its name, for the report. */
    readonly tracker: string,
  ) {}

  /** @param onEngine called as soon as there is an engine, whose end ends the beginning */
  static async begin(
    container: SourceContainer,
    options: SessionOptions,
    onEngine: (engine: Engine) => void = () => undefined,
  ): Promise<CheckpointSession> {
    const { places = PLACES, spool = SPOOL } = options;
    const cgroup = await container.cgroup();
    const scratch = await Scratch.create(randomBytes(16).toString("hex"), "source", places);
    options.onScratch(scratch.root);
    let session: CheckpointSession | undefined;
    let engine: Engine | undefined;
    try {
      await mkdir(spool, { recursive: true, mode: 0o700 });
      const started = await Engine.start({
        binary: join(options.libDir, "pclive-engine"),
        role: "checkpoint",
        logFile: scratch.engineLog,
        onEvent: (event) => session?.onEvent(event),
      });
      engine = started.engine;
      onEngine(engine);
      mustTrack(options, started.hello.features);
      const tracker = options.before === "paused" ? "none" : options.tracker;
      const begun = await engine.request(
        "begin",
        {
          initPid: container.initPid(),
          cgroupProcs: cgroup.procsPaths,
          tracker,
          overlaySocket: scratch.socket,
          spool,
        },
        { timeoutMs: BEGIN_MS },
      );
      session = new CheckpointSession(scratch, engine, cgroup, begun.tracker ?? tracker);
      return session;
    } catch (thrown) {
      await engine?.close();
      const error = MigrationError.from(thrown);
      error.logs ??= await scratch.keepLogs();
      await attempt(() => scratch.remove());
      throw error;
    }
  }

  /** Another checkpoint may be taken. */
  get usable(): boolean {
    return !this.#ended;
  }

  /** After a checkpoint: makes ready for the next one. */
  async renew(): Promise<void> {
    this.onEvent = () => undefined;
    this.engine.forget("snapshotted", "dump-held", "dumped", "dump-left");
    await this.scratch.empty();
  }

  /** Ends the tracking. Idempotent, never rejects. */
  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.engine.close();
    await attempt(() => this.scratch.remove());
  }
}

function mustTrack(
  { before }: SessionOptions,
  features: { readonly uffdWpAsync: boolean; readonly softDirty: boolean },
): void {
  if (before === "paused" || features.uffdWpAsync || features.softDirty) return;
  throw new MigrationError(PLAIN_ONLY, "this kernel does not tell which pages are written", {
    remedy: "use Linux 6.7 or later, or one with CONFIG_MEM_SOFT_DIRTY",
  });
}
