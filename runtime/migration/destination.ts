/**
 * The destination of one migration: it rebuilds a container that runs elsewhere, and holds it until it is told
 * that the container is now its own.
 *
 *   new ─ prepare ─▶ preparing ─ ready ─▶ held ─ release ─▶ running
 *                        └────── abort, or any failure ─▶ refused
 *
 * `running` is on disk before the first task is let go, `refused` before anything is forgotten: the records
 * alone tell the source whether the container ever ran here.
 */
import { join } from "node:path";
import { readLog } from "../criu/log.js";
import { criuSpans } from "../trace/criu.js";
import { EngineTrace } from "../trace/engine.js";
import { Recorder, type Span } from "../trace/recorder.js";
import { attempt, quiet, within } from "./deadline.js";
import { checkDescriptors, type Descriptors, parseDescriptors, writeDescriptors } from "./descriptors.js";
import { type DestinationOptions, prepareDestination } from "./destination-prepare.js";
import { type DestinationParts, undoDestination } from "./destination-undo.js";
import type { EngineEvent } from "./engine-messages.js";
import { MigrationError } from "./error.js";
import { Freezer, processesOf } from "./freezer.js";
import type { DestinationState, HandoverRecord } from "./handover.js";
import { residentBytes, self } from "./process.js";
import { restoreMoved } from "./restore.js";
import { restoreFigures } from "./restore-figures.js";
import { Steps } from "./steps.js";
import type { Cgroup, DestinationContainer } from "./types.js";

export interface ReadyReport {
  readonly restoreMs: number;
  readonly memoryRestoreMs: number;
  readonly stagedBytes: number;
  /** Unix time, ms. */
  readonly heldAt: number;
  readonly wireBytes: number;
}

export interface RunningReport {
  readonly pid: number;
  readonly releaseMs: number;
  /** Unix time, ms. */
  readonly runningAt: number;
  readonly rssBytes: number;
}

export interface DestinationProgress {
  readonly phase: string;
  readonly round: number;
  readonly stagedBytes: number;
  readonly backlogBytes: number;
}

type Phase =
  | { readonly kind: "new" }
  | { readonly kind: "beginning" }
  | { readonly kind: "preparing"; readonly parts: DestinationParts }
  | { readonly kind: "held"; readonly parts: DestinationParts }
  | { readonly kind: "releasing"; readonly parts: DestinationParts }
  | { readonly kind: "refusing" }
  | { readonly kind: "ended"; readonly state: DestinationState };

const OVERLAY_MS = 30_000;
/** Rounds go on as long as the source finds them worth it; a lost connection ends the wait at once. */
const ROUNDS_MS = 24 * 3600 * 1000;
/** From the complete images to the held tasks: a one-shot restore reads all memory in it. */
const RESTORE_MS = 1_800_000;
const CAUSE_MS = 2_000;
const RELEASE_MS = 15_000;
const RUNC_MS = 30_000;
const STATS_MS = 5_000;

export class DestinationMigration {
  readonly #steps = new Steps<Phase>({ kind: "new" });
  readonly #failed = (name: string, thrown: unknown) => this.#failedStep(name, thrown);
  readonly #recorder = new Recorder();
  readonly #engineTrace = new EngineTrace(this.#recorder);
  #refusal: Promise<void> | undefined;
  #acquired: Partial<DestinationParts> = {};
  #descriptors: Descriptors = ["", "", ""];
  /** Whether the record is ours: a refused prepare must not touch that of another migration. */
  #recorded = false;
  #progress = { round: 0, stagedBytes: 0, backlogBytes: 0 };
  /** Where the complete images are, once the engine has said so. */
  #imageDir: string | undefined;
  #logs: string | undefined;

  constructor(
    private readonly container: DestinationContainer,
    private readonly options: DestinationOptions,
  ) {}

  /** Listens for the source; returns the port. Pipelined: CRIU is up and takes staging. */
  prepare(): Promise<number> {
    return this.#steps.run(
      "prepare",
      "new",
      async () => {
        this.#steps.phase = { kind: "beginning" };
        const { migration, records } = this.options;
        this.#descriptors = parseDescriptors(this.options.descriptorsJson);
        await records.create({
          migration,
          container: this.container.id,
          namespace: this.container.namespace,
          bundle: this.container.bundle,
          role: "destination",
          owner: self(),
        });
        this.#recorded = true;
        const { parts, port } = await this.#prepare();
        this.#steps.advance("beginning", { kind: "preparing", parts });
        return port;
      },
      this.#failed,
    );
  }

  /** Waits until everything is restored and held. May be called long before. */
  ready(): Promise<ReadyReport> {
    return this.#steps.run(
      "ready",
      "preparing",
      async ({ parts }) => {
        if (this.options.strategy !== "pipelined") await this.#restoreOnce(parts);
        await this.#orRestoreFailure(parts, parts.engine.event("files", ROUNDS_MS));
        // Beside the restore, which is a part of the pause.
        const checked = quiet(checkDescriptors(this.#imageDir ?? parts.scratch.images, this.#descriptors));
        const held = await this.#orRestoreFailure(parts, parts.engine.event("held", RESTORE_MS));
        await checked;
        this.#steps.still("preparing");
        const noted = Promise.all([
          restoreFigures(parts, held, this.options.strategy),
          parts.engine.request("stats", {}, { timeoutMs: STATS_MS }),
          this.options.records.advance(this.options.migration, "held"),
        ]);
        const [report, stats] = await this.#recorder.during("shim", "record that it is held", noted);
        this.#steps.advance("preparing", { kind: "held", parts });
        this.#watchHeld(parts);
        return { ...report, stagedBytes: stats.stagedBytes, wireBytes: stats.wireBytes };
      },
      this.#failed,
    );
  }

  /** The source has committed: the container runs here from now on. */
  release(): Promise<RunningReport> {
    return this.#steps.run(
      "release",
      "held",
      async ({ parts }) => {
        this.#steps.advance("held", { kind: "releasing", parts });
        const begin = performance.now();
        await this.#recorder.during("shim", "record that it runs", this.#recordRunning(parts));
        try {
          return await this.#resume(parts, begin);
        } catch (thrown) {
          // Only this host may run the container now, and it cannot: that is a crash, not a refusal.
          throw await this.#crashed(thrown);
        }
      },
      this.#failed,
    );
  }

  /** Gives up; not possible any more once it runs. Idempotent; the answer is the record. */
  async abort(reason: string): Promise<HandoverRecord | undefined> {
    const { kind } = this.#steps.phase;
    if (kind !== "new" && kind !== "releasing" && kind !== "ended") await this.#refuse(reason);
    return this.options.records.read(this.options.migration);
  }

  get ended(): boolean {
    return this.#steps.phase.kind === "ended";
  }

  /** Whether the source may have given the decision away: then only an answer of its agent ends the wait. */
  get held(): boolean {
    return this.#steps.phase.kind === "held" || this.#steps.phase.kind === "releasing";
  }

  /** Where the time went; empty unless somebody wants to know. */
  get spans(): readonly Span[] {
    return this.options.trace ? this.#recorder.spans : [];
  }

  async #readLog(parts: DestinationParts): Promise<void> {
    if (!this.options.trace) return;
    const log = await readLog(join(parts.scratch.work, "restore.log"));
    for (const span of criuSpans("restore", log ?? "")) this.#recorder.add(span);
  }

  progress(): DestinationProgress {
    return { phase: this.#steps.phase.kind, ...this.#progress };
  }

  async #prepare(): Promise<{ parts: DestinationParts; port: number }> {
    const { parts, port } = await prepareDestination(this.container, this.options, {
      acquired: (some) => {
        this.#acquired = some;
      },
      still: () => this.#steps.still("beginning"),
      onEvent: (event) => this.#notice(event),
    });
    if (this.options.strategy === "pipelined") await this.#restoreEarly(parts);
    return { parts, port };
  }

  async #restoreEarly(parts: DestinationParts): Promise<void> {
    await writeDescriptors(parts.scratch.images, this.#descriptors);
    await this.#startRestore(parts, parts.scratch.images);
    await this.#orRestoreFailure(parts, parts.engine.event("overlay", OVERLAY_MS));
  }

  async #restoreOnce(parts: DestinationParts): Promise<void> {
    const { imageDir } = await parts.engine.event("images-ready", ROUNDS_MS);
    this.#steps.still("preparing");
    await this.#startRestore(parts, imageDir);
  }

  async #startRestore(parts: DestinationParts, imageDir: string): Promise<void> {
    const stdio = await this.container.restoreStdio(this.#descriptors);
    this.#steps.still("beginning", "preparing");
    parts.restore = restoreMoved(this.container, parts.scratch, imageDir, stdio, parts.libDir);
    quiet(this.#recorder.during("runC", "runc restore", parts.restore.ended));
  }

  async #recordRunning(parts: DestinationParts): Promise<void> {
    const { records, migration } = this.options;
    try {
      await records.advance(migration, "running");
    } catch (error) {
      // Still held, for another try, unless the write took effect all the same.
      const record = await attempt(() => records.read(migration));
      if (record?.state === "running") return;
      this.#steps.phase = { kind: "held", parts };
      throw error;
    }
  }

  /** What is waited for, or the reason for which it will never come. */
  #orRestoreFailure<T>(parts: DestinationParts, wanted: Promise<T>): Promise<T> {
    const tooEarly = parts.restore?.ended.then(() => {
      throw new MigrationError("restore-failed", "runc restore ended before the tasks were released", {
        remedy:
          "check that the installed criu is the one that PCLive brings: without its overlay it does not wait",
      });
    });
    return tooEarly ? Promise.race([wanted, tooEarly]) : wanted;
  }

  /** The tasks hang on CRIU, and CRIU on the engine: should one die while they are held, they have to go, too. */
  #watchHeld(parts: DestinationParts): void {
    parts.restore?.held();
    const lost = (thrown?: unknown) => {
      if (this.#steps.phase.kind !== "held") return;
      const error = MigrationError.from(thrown ?? "the restore ended by itself", "restore-failed");
      void this.#refuse(`while the container was held: ${error.message}`, error);
    };
    parts.restore?.ended.then(() => lost(), lost);
    parts.engine.failed.catch(lost);
  }

  async #resume(parts: DestinationParts, begin: number): Promise<RunningReport> {
    // Unlocked before anything may want to send: a refused packet would be an error that no program expects.
    if (parts.lock) await this.#recorder.during("shim", "network opened", parts.lock.open());
    const released = parts.engine.request("release", {}, { timeoutMs: RELEASE_MS });
    await this.#recorder.during("shim", "release", released);
    parts.hold?.release();
    const runningAt = Date.now();
    const releaseMs = performance.now() - begin;
    const pid = await this.#recorder.during(
      "shim",
      "runC ends",
      Promise.resolve(parts.restore?.pid(RUNC_MS)),
    );
    if (pid === undefined)
      throw new MigrationError("internal", "there is no restore to take the container from");
    this.container.stdioHandedOver();
    await this.container.adopt(pid);
    this.#steps.phase = { kind: "ended", state: "running" };
    const rssBytes = await this.#wakeAndMeasure();
    await attempt(() => this.#readLog(parts));
    await attempt(() => parts.engine.close());
    await attempt(async () => parts.lock?.unlock());
    await attempt(async () => parts.lock?.dispose());
    await attempt(() => parts.scratch.remove());
    return { pid, releaseMs, runningAt, rssBytes };
  }

  /** A cgroup below the container's own comes back as it was dumped: frozen. */
  async #wakeAndMeasure(): Promise<number> {
    const cgroup: Cgroup | undefined = await attempt(() => this.container.cgroup());
    if (!cgroup) return 0;
    await new Freezer(cgroup).thaw(RELEASE_MS);
    return processesOf(cgroup).reduce((sum, pid) => sum + residentBytes(pid), 0);
  }

  async #failedStep(name: string, thrown: unknown): Promise<MigrationError> {
    const error = await this.#cause(MigrationError.from(thrown));
    if (!this.ended && !this.held) await this.#refuse(`${name}: ${error.message}`, error);
    error.logs ??= this.#logs;
    return error;
  }

  /** When CRIU fails, the engine notices first, but runC and the log know why. */
  async #cause(error: MigrationError): Promise<MigrationError> {
    const { restore } = this.#acquired;
    if (error.code !== "overlay-lost" || !restore) return error;
    const ended = within(CAUSE_MS, "runc restore", restore.ended);
    return ended.then(
      () => error,
      (thrown: MigrationError) => (thrown.code === "restore-failed" ? thrown : error),
    );
  }

  #refuse(reason: string, error?: MigrationError): Promise<void> {
    this.#steps.phase = { kind: "refusing" };
    this.#refusal ??= this.#refuseOnce(reason, error);
    return this.#refusal;
  }

  async #refuseOnce(reason: string, error: MigrationError | undefined): Promise<void> {
    const { records, migration } = this.options;
    // Nothing can release the tasks any more; this says so for good before they are gone.
    if (this.#recorded) await attempt(() => records.advance(migration, "refused", reason));
    this.#logs = await undoDestination(() => this.#acquired, this.#steps.underWay);
    this.#steps.phase = { kind: "ended", state: "refused" };
    const { code, message } = error ?? { code: "cancelled", message: reason };
    await attempt(() =>
      this.container.failed({ code, message, ...(error?.remedy ? { remedy: error.remedy } : {}) }),
    );
  }

  async #crashed(thrown: unknown): Promise<MigrationError> {
    const error = MigrationError.from(thrown, "restore-failed");
    this.#logs = await undoDestination(() => this.#acquired, undefined);
    this.#steps.phase = { kind: "ended", state: "running" };
    error.logs = this.#logs;
    await attempt(() =>
      this.container.failed({ code: error.code, message: error.message, remedy: error.remedy }),
    );
    return error;
  }

  #notice(event: EngineEvent): void {
    this.#engineTrace.notice(event);
    if (event.event === "images-ready") this.#imageDir = event.imageDir;
    if (event.event !== "round") return;
    const { round, stagedBytes, backlogBytes } = event;
    this.#progress = { round, stagedBytes, backlogBytes };
  }
}
