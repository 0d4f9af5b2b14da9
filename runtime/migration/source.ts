/**
 * The source of one migration: owner of a running container until another host runs it.
 *
 *   new ─ begin ─▶ moving ─ switchover ─▶ frozen ─ commit ─▶ committed ─ finish ─▶ done
 *                   │ └round┘               │                    └─ rollback("refused") ─▶ returned
 *                   └──── rollback, or any failure ─▶ rolled-back
 *
 * A step that fails before the commit has rolled back by the time its promise rejects: the container runs
 * here, and nothing of the migration is left but its logs. After the commit only the peer's proof that it never
 * ran the container gives it back.
 */
import { join } from "node:path";
import { readLog } from "../criu/log.js";
import { criuSpans } from "../trace/criu.js";
import { EngineTrace } from "../trace/engine.js";
import { Recorder, type Span } from "../trace/recorder.js";
import { attempt, within } from "./deadline.js";
import type { Answer, EngineEvent } from "./engine-messages.js";
import { MigrationError } from "./error.js";
import { processesOf } from "./freezer.js";
import type { HandoverRecord, SourceState } from "./handover.js";
import { identify, killAll, self } from "./process.js";
import {
  type BeginReport,
  type PrepareHooks,
  prepareSource,
  refuseExecs,
  type SourceOptions,
} from "./source-prepare.js";
import { undoSource } from "./source-undo.js";
import { type Frozen, Standstill } from "./standstill.js";
import { Steps } from "./steps.js";
import {
  orDumpFailure,
  type SourceParts,
  type SwitchoverReport,
  staysFrozen,
  switchOver,
} from "./switchover.js";
import type { SourceContainer } from "./types.js";
import { type Burden, leftToCriu, weigh } from "./weigh.js";

export interface Progress {
  readonly phase: string;
  readonly round: number;
  readonly bytes: number;
  readonly wireBytes: number;
}

export type RoundReport = Answer<"round"> & Burden & { readonly skeletonBytes: number };

type Phase =
  | { readonly kind: "new" }
  | { readonly kind: "beginning" }
  | { readonly kind: "moving"; readonly parts: SourceParts }
  | { readonly kind: "switching"; readonly parts: SourceParts }
  | { readonly kind: "frozen"; readonly parts: SourceParts }
  | { readonly kind: "committing"; readonly parts: SourceParts }
  | { readonly kind: "committed"; readonly parts: SourceParts }
  | { readonly kind: "rolling-back" }
  | { readonly kind: "ended"; readonly state: SourceState };

const STALL_MS = 30_000;
const EXIT_MS = 30_000;
/** The container did not fail, it lives elsewhere: no restart policy shall bring it back here. */
const MOVED_STATUS = 0;

export class SourceMigration {
  readonly #steps = new Steps<Phase>({ kind: "new" });
  readonly #failed = (name: string, thrown: unknown) => this.#failedStep(name, thrown);
  readonly #standstill = new Standstill();
  readonly #recorder = new Recorder();
  readonly #engineTrace = new EngineTrace(this.#recorder);
  #rollback: Promise<void> | undefined;
  #acquired: Partial<SourceParts> = {};
  readonly #hooks: PrepareHooks<SourceParts> = {
    acquired: (parts) => {
      this.#acquired = parts;
    },
    still: () => this.#steps.still("beginning"),
    onEvent: (event) => this.#notice(event),
  };
  /** Whether the record is ours: a refused begin must not touch that of another migration. */
  #recorded = false;
  #round = 0;
  #sent = { bytes: 0, wireBytes: 0 };
  #underWay = { bytes: 0, wireBytes: 0 };
  #logs: string | undefined;

  constructor(
    private readonly container: SourceContainer,
    private readonly options: SourceOptions,
  ) {}

  /** Connects to the peer and makes ready to track; the container is not touched yet. */
  begin(): Promise<BeginReport> {
    return this.#steps.run(
      "begin",
      "new",
      async () => {
        this.#steps.phase = { kind: "beginning" };
        await this.options.records.create({
          migration: this.options.migration,
          container: this.container.id,
          namespace: this.container.namespace,
          bundle: this.container.bundle,
          role: "source",
          owner: self(),
        });
        this.#recorded = true;
        const { parts, report } = await prepareSource(
          this.container,
          this.options,
          this.#hooks,
          this.#recorder,
        );
        this.#steps.advance("beginning", { kind: "moving", parts });
        return report;
      },
      this.#failed,
    );
  }

  /** One pre-copy pass while the container runs. */
  round(): Promise<RoundReport> {
    return this.#steps.run(
      "round",
      "moving",
      async ({ parts }) => {
        if (this.options.strategy === "stop-and-copy") {
          throw new MigrationError("wrong-state", "stop-and-copy has no rounds");
        }
        const round = parts.engine.request("round", {}, { timeoutMs: STALL_MS, restartOnProgress: true });
        const told = this.#recorder.during("engine", "round", orDumpFailure(parts.dump, round), roundFigures);
        const [report, burden] = await Promise.all([told, weigh(processesOf(parts.cgroup))]);
        this.#round = report.round;
        this.#account(report);
        return { ...report, ...burden, skeletonBytes: leftToCriu(burden, report.knownPages) };
      },
      this.#failed,
    );
  }

  /** Lets the container have this share of its processor time until the switchover. Returns how many processors that is. */
  throttle(share: number): Promise<number> {
    return this.#steps.run(
      "throttle",
      "moving",
      async ({ parts }) => {
        if (parts.throttle) return parts.throttle.slow(share);
        throw new MigrationError("unsupported", "the container's processor time cannot be limited", {
          remedy: "migrate without --auto-converge",
        });
      },
      this.#failed,
    );
  }

  /**
   * Freezes the container and sends all that the peer lacks. `wireBytes` is of the whole migration.
   * @param waitForFiles the skeleton goes only after `filesSent`
   */
  switchover(waitForFiles = false): Promise<SwitchoverReport> {
    return this.#steps.run(
      "switchover",
      "moving",
      async ({ parts }) => {
        refuseExecs(this.container);
        this.#steps.advance("moving", { kind: "switching", parts });
        const report = await switchOver(parts, this.#standstill, waitForFiles);
        this.#account({ bytes: report.finalBytes + report.skeletonBytes, wireBytes: report.wireBytes });
        this.#steps.advance("switching", { kind: "frozen", parts });
        return { ...report, wireBytes: this.#sent.wireBytes };
      },
      this.#failed,
    );
  }

  /** Waits for the switchover to stop the container. @throws MigrationError when it will not come to that */
  frozen(): Promise<Frozen> {
    return this.#standstill.begun;
  }

  /** The peer has the container's files as they are now. */
  filesSent(): void {
    this.#standstill.confirmFiles();
  }

  /** Gives the decision away: when this resolves, only the peer may run the container. */
  commit(): Promise<HandoverRecord> {
    return this.#steps.run(
      "commit",
      "frozen",
      async ({ parts }) => {
        await staysFrozen(parts.freezer);
        this.#steps.advance("frozen", { kind: "committing", parts });
        try {
          const record = await this.#recorder.during(
            "shim",
            "record the commit",
            this.options.records.advance(this.options.migration, "committed"),
          );
          this.#steps.phase = { kind: "committed", parts };
          return record;
        } catch (error) {
          // A write that failed half-way may have taken effect: what a reader would find decides.
          const record = await attempt(() => this.options.records.read(this.options.migration));
          this.#steps.phase =
            record?.state === "moving" ? { kind: "frozen", parts } : { kind: "committed", parts };
          throw error;
        }
      },
      this.#failed,
    );
  }

  /** The peer runs the container: ends the copy here and reports its exit. May be tried again. */
  finish(): Promise<HandoverRecord> {
    return this.#steps.run(
      "finish",
      "committed",
      async ({ parts }) => {
        await this.#killFrozen(parts);
        const record = await this.options.records.advance(this.options.migration, "done");
        this.#steps.phase = { kind: "ended", state: "done" };
        await attempt(() => this.#readLog(parts));
        await attempt(() => parts.engine.close());
        await attempt(async () => parts.dump?.stop());
        // The lock itself stays: sockets of a dead container must not say goodbye to its clients.
        await attempt(async () => parts.lock?.dispose());
        await attempt(() => parts.scratch.remove());
        return record;
      },
      this.#failed,
    );
  }

  /**
   * Before the commit: the container runs here again, whatever step was under way. After it only with reason
   * "refused". Idempotent; the answer is the record, which tells what holds.
   */
  async rollback(reason: string): Promise<HandoverRecord | undefined> {
    // A commit under way is decided by its own outcome.
    if (this.#steps.phase.kind === "committing") await attempt(async () => this.#steps.underWay);
    const { kind } = this.#steps.phase;
    if (kind === "committed") {
      if (reason === "refused") await this.#handBack();
    } else if (kind !== "new" && kind !== "ended") {
      await this.#undo(reason);
    }
    return this.options.records.read(this.options.migration);
  }

  /** Where the time went; empty unless somebody wants to know. */
  get spans(): readonly Span[] {
    return this.options.trace ? this.#recorder.spans : [];
  }

  async #readLog(parts: SourceParts): Promise<void> {
    if (!this.options.trace) return;
    const log = await readLog(join(parts.scratch.work, "dump.log"));
    for (const span of criuSpans("dump", log ?? "")) this.#recorder.add(span);
  }

  /** Whether nothing is left to do. */
  get ended(): boolean {
    return this.#steps.phase.kind === "ended";
  }

  /** Whether only the peer may run the container now, or this is being decided. */
  get committed(): boolean {
    return this.#steps.phase.kind === "committed" || this.#steps.phase.kind === "committing";
  }

  /** Whether the container runs and no step is about to stop it. */
  get running(): boolean {
    return ["beginning", "moving"].includes(this.#steps.phase.kind);
  }

  progress(): Progress {
    return {
      phase: this.#steps.phase.kind,
      round: this.#round,
      bytes: this.#sent.bytes + this.#underWay.bytes,
      wireBytes: this.#sent.wireBytes + this.#underWay.wireBytes,
    };
  }

  /** The error to report; by then the container runs here, unless the decision is the peer's. */
  async #failedStep(name: string, thrown: unknown): Promise<MigrationError> {
    const error = MigrationError.from(thrown);
    // Asking for a step that this strategy lacks harms nothing.
    const harmless = error.code === "wrong-state" && this.#steps.phase.kind === "moving";
    if (this.committed || this.ended || harmless) return error;
    await this.#undo(`${name}: ${error.message}`);
    error.logs ??= this.#logs;
    return error;
  }

  #undo(reason: string): Promise<void> {
    this.#steps.phase = { kind: "rolling-back" };
    this.#rollback ??= this.#undoOnce(reason);
    return this.#rollback;
  }

  async #undoOnce(reason: string): Promise<void> {
    this.#standstill.fail(new MigrationError("cancelled", reason));
    this.#logs = await undoSource(() => this.#acquired, this.#steps.underWay);
    const { records, migration } = this.options;
    if (this.#recorded) await attempt(() => records.advance(migration, "rolled-back", reason));
    this.#steps.phase = { kind: "ended", state: "rolled-back" };
  }

  #handBack(): Promise<void> {
    const giveBack = async () => {
      await this.options.records.advance(this.options.migration, "returned", "refused");
      this.#logs = await undoSource(() => this.#acquired, undefined);
      this.#steps.phase = { kind: "ended", state: "returned" };
    };
    return this.#steps.run("giving back", "committed", giveBack, this.#failed);
  }

  /** Nothing of the container runs between the kill and its end: the signal is there before the thaw. */
  async #killFrozen(parts: SourceParts): Promise<void> {
    const gone = this.container.expectGone(MOVED_STATUS);
    const victims = processesOf(parts.cgroup).flatMap((pid) => identify(pid) ?? []);
    // Frozen tasks take the signal but die only when they are thawed.
    const dead = killAll(victims, EXIT_MS);
    await attempt(() => parts.freezer.thaw(EXIT_MS));
    if (!(await dead)) throw new MigrationError("internal", "processes of the moved container do not die");
    await within(EXIT_MS, "the report of the container's exit", gone);
  }

  #account(sent: { bytes: number; wireBytes: number }): void {
    this.#sent = { bytes: this.#sent.bytes + sent.bytes, wireBytes: this.#sent.wireBytes + sent.wireBytes };
    this.#underWay = { bytes: 0, wireBytes: 0 };
  }

  #notice(event: EngineEvent): void {
    this.#engineTrace.notice(event);
    if (event.event === "progress") this.#underWay = { bytes: event.bytes, wireBytes: event.wireBytes };
  }
}

function roundFigures(report: Answer<"round">): Record<string, number> {
  const { round, pages, bytes, wireBytes, attachMs, scanMs, readMs, sendMs } = report;
  return { round, pages, bytes, wireBytes, attachMs, scanMs, readMs, sendMs };
}
