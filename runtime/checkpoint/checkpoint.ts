/**
 * The checkpoint of a container into a folder of standard images.
 *
 *   it runs, and goes on:   CRIU held ─ rounds ─ freeze ─┬─ last pages ─┬─ thaw ─ image written ─ published
 *                                                        └─ skeleton ───┘
 *   it runs, and shall end: CRIU held ─ rounds ─ freeze ─ last pages, skeleton ─ image written ─ published ─ CRIU ends it
 *   its caller paused it:   CRIU held ─ skeleton ─ pages read straight into the image ─ published
 *
 * Whatever fails, by the time that the promise rejects the container is as it was, nothing of an image is at the target, and
 * what remains are logs.
 */
import { basename, dirname, join } from "node:path";
import { attempt, quiet, within } from "../migration/deadline.js";
import { type DumpOptions, SkeletonDump } from "../migration/dump.js";
import type { Engine } from "../migration/engine.js";
import type { Answer, EngineEvent } from "../migration/engine-messages.js";
import { MigrationError } from "../migration/error.js";
import { Freezer } from "../migration/freezer.js";
import type { Places, Scratch } from "../migration/scratch.js";
import { undoSource } from "../migration/source-undo.js";
import { orDumpFailure, snapshot, staysFrozen } from "../migration/switchover.js";
import type { Cgroup, SourceContainer, Tracker } from "../migration/types.js";
import { QuietNetwork } from "./network.js";
import { decide, type RoundSample } from "./policy.js";
import { CheckpointSession } from "./session.js";
import { ImageTarget } from "./target.js";

export interface Progress {
  readonly phase: "prepare" | "round" | "freeze" | "write";
  readonly round: number;
  /** Of this round, or of the image. */
  readonly bytes: number;
}

export interface CheckpointOptions {
  /** The folder for the image; made unless it is there. */
  readonly to: string;
  /** Whether somebody has paused the container before; it then stays so. */
  readonly before: "running" | "paused";
  readonly after: "as-before" | "ended";
  /** What runC is asked for besides. */
  readonly criu: Omit<DumpOptions, "libDir" | "leaveRunning">;
  /** Write past the page cache. */
  readonly direct: boolean;
  /** One that stays when all goes well, and is ended when not; default: one for this checkpoint alone. Not of a paused container. */
  readonly session?: CheckpointSession;
  /** Leave out what did not change since the session's last image, if that lies beside this one. */
  readonly incremental?: boolean;
  readonly tracker: Tracker;
  /** Folder of `pclive-engine` and `criu/criu`. */
  readonly libDir: string;
  /** Where memory goes that has no room in memory twice. */
  readonly spool?: string;
  readonly places?: Places;
  readonly signal?: AbortSignal;
  /** Called with the folders that have to be removed should this process die. */
  readonly onScratch?: (folders: readonly string[]) => void;
  readonly onProgress?: (progress: Progress) => void;
  /** Called when the container is as its caller wants it: from then on only the image is written. */
  readonly onReleased?: () => void;
}

/** Times in milliseconds, sizes in bytes. */
export interface CheckpointReport {
  readonly tracker: string;
  readonly rounds: number;
  /** For how long we kept the container from running; 0 when its caller had paused it. */
  readonly frozenMs: number;
  readonly dumpMs: number;
  readonly writeMs: number;
  readonly totalMs: number;
  readonly finalBytes: number;
  /** Written; an incremental image needs its parent's besides. */
  readonly imageBytes: number;
  /** Name of the image beside it that it needs; empty: none. */
  readonly parent: string;
}

interface Parts {
  readonly target: ImageTarget;
  readonly scratch: Scratch;
  readonly cgroup: Cgroup;
  readonly freezer: Freezer;
  readonly engine: Engine;
  readonly dump: SkeletonDump;
  readonly network: QuietNetwork | undefined;
  readonly tracker: string;
}

const HELD_MS = 20_000;
const FREEZE_MS = 5_000;
const THAW_MS = 10_000;
const DUMP_MS = 120_000;
/** Nothing was copied for so long: the engine hangs. */
const STALL_MS = 30_000;
/** Nothing was written for so long: a slow disk has much to do for one fsync. */
const WRITE_STALL_MS = 600_000;

export function takeCheckpoint(
  container: SourceContainer,
  options: CheckpointOptions,
): Promise<CheckpointReport> {
  return new Checkpoint(container, options).run();
}

class Checkpoint {
  readonly #begun = performance.now();
  readonly #rounds: RoundSample[] = [];
  #acquired: Partial<Parts> = {};
  #progress: Progress = { phase: "prepare", round: 0, bytes: 0 };

  constructor(
    private readonly container: SourceContainer,
    private readonly options: CheckpointOptions,
  ) {}

  async run(): Promise<CheckpointReport> {
    const { signal } = this.options;
    // The engine's end ends every wait of ours.
    const cancel = () => void this.#acquired.engine?.close();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const parts = await this.#prepare();
      const report = await this.#take(parts);
      await this.#tidy(parts);
      return report;
    } catch (thrown) {
      throw await this.#undo(signal?.aborted ? cancelled() : MigrationError.from(thrown));
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  async #prepare(): Promise<Parts> {
    const { container, options } = this;
    const { libDir, criu, after } = options;
    const target = this.#acquire("target", await ImageTarget.prepare(options.to));
    const { scratch, engine, cgroup, tracker } = await this.#session(target);
    this.#still();
    const freezer = this.#acquire("freezer", new Freezer(cgroup));
    const binary = join(libDir, "pclive-engine");
    const network = after === "ended" ? undefined : QuietNetwork.of(container.initPid(), binary);
    this.#acquire("network", network);
    const dump = new SkeletonDump(container, scratch, {
      ...criu,
      libDir,
      leaveRunning: after === "as-before",
    });
    this.#acquire("dump", dump);
    return { target, scratch, cgroup, freezer, engine, dump, network, tracker };
  }

  /** Its own, or the one that stays. From here on it is this checkpoint's to end when anything fails. */
  async #session(target: ImageTarget): Promise<CheckpointSession> {
    const { options } = this;
    const { before, tracker, libDir, places, spool } = options;
    const onScratch = (root: string) => options.onScratch?.([target.temporary, root]);
    if (options.session) onScratch(options.session.scratch.root);
    const session =
      options.session ??
      (await CheckpointSession.begin(
        this.container,
        { before, tracker, libDir, places, spool, onScratch },
        (engine) => this.#acquire("engine", engine),
      ));
    session.onEvent = (event) => this.#notice(event);
    this.#acquire("scratch", session.scratch);
    this.#acquire("engine", session.engine);
    this.#acquire("cgroup", session.cgroup);
    return session;
  }

  async #take(parts: Parts): Promise<CheckpointReport> {
    const { before, after } = this.options;
    if (before === "running") await this.#copyRounds(parts);
    await orDumpFailure(parts.dump, parts.engine.event("dump-held", HELD_MS));
    this.#still();
    this.#enter("freeze");
    const frozen = performance.now();
    const { silent } = await this.#stop(parts);
    const { final, dumpMs } = await this.#dump(parts, silent);
    if (before === "running" && after === "as-before") await this.#thaw(parts);
    const thawed = performance.now();
    if (before === "running" && after === "as-before") this.options.onReleased?.();
    const parent = this.#parent(parts.target);
    const image = await this.#write(parts, parent);
    if (after === "ended") await this.#end(parts);
    const end = performance.now();
    if (before === "paused" || after === "ended") this.options.onReleased?.();
    return {
      tracker: parts.tracker,
      rounds: this.#rounds.length,
      frozenMs: before === "paused" ? 0 : (after === "ended" ? end : thawed) - frozen,
      dumpMs,
      writeMs: image.ms,
      totalMs: end - this.#begun,
      finalBytes: final.bytes,
      imageBytes: image.bytes,
      parent,
    };
  }

  async #copyRounds({ engine, dump }: Parts): Promise<void> {
    let before: number | undefined;
    while (decide(this.#rounds).kind === "round") {
      this.#still();
      this.#enter("round");
      const began = performance.now();
      const round = engine.request("round", {}, { timeoutMs: STALL_MS, restartOnProgress: true });
      const { bytes, totalMs } = await orDumpFailure(dump, round);
      this.#rounds.push({ bytes, totalMs, intervalMs: before === undefined ? 0 : began - before });
      before = began;
    }
  }

  /** The container stands still. @returns what settles when it hears nothing more, for which only CRIU has to wait */
  async #stop({ freezer, network }: Parts): Promise<{ readonly silent: Promise<void> }> {
    const silent = network?.begin() ?? Promise.resolve();
    if (this.options.before === "paused") await staysFrozen(freezer);
    else await freezer.freeze(FREEZE_MS);
    return { silent };
  }

  /** The last pages and the skeleton, at the same time. */
  async #dump(parts: Parts, silent: Promise<void>): Promise<{ final: Answer<"final">; dumpMs: number }> {
    const { engine, freezer, network } = parts;
    const ends = this.options.after === "ended";
    const last = await snapshot(engine);
    await silent;
    const dumping = performance.now();
    await engine.request(
      "dump-go",
      { keepNetworkLock: ends || network === undefined, holdEnd: ends },
      { timeoutMs: HELD_MS },
    );
    const [final, dumpMs] = await Promise.all([
      last(),
      this.#skeleton(parts).then(() => performance.now() - dumping),
    ]);
    // CRIU had to thaw the tasks for its parasite; it has them in its hands still, or has put them back where they were.
    if (!ends) await staysFrozen(freezer);
    return { final, dumpMs };
  }

  /** CRIU's images are complete, and it has let go of the tasks unless it shall end them. runC tidies up after that. */
  async #skeleton({ engine, dump }: Parts): Promise<void> {
    const dumped = engine.event("dumped", DUMP_MS);
    if (this.options.after === "ended") {
      await orDumpFailure(dump, dumped);
      return;
    }
    const left = dumped.then(() => engine.event("dump-left", DUMP_MS));
    await Promise.race([quiet(left), dump.ended]);
  }

  async #thaw({ freezer, network }: Parts): Promise<void> {
    const thaw = () => freezer.thaw(THAW_MS);
    await (network ? network.end(thaw) : thaw());
  }

  #parent({ path }: ImageTarget): string {
    const { session, incremental } = this.options;
    const { last } = session ?? {};
    return incremental === true && last !== undefined && dirname(last) === dirname(path)
      ? basename(last)
      : "";
  }

  async #write(parts: Parts, parent: string): Promise<Answer<"write">> {
    const { engine, scratch, target, freezer, network, dump } = parts;
    this.#enter("write");
    const written = await engine.request(
      "write",
      {
        skeleton: scratch.images,
        to: target.temporary,
        direct: this.options.direct,
        ...(parent === "" ? {} : { parent: `../${parent}` }),
      },
      { timeoutMs: WRITE_STALL_MS, restartOnProgress: true },
    );
    this.#still();
    if (this.options.before === "paused" && this.options.after === "as-before") {
      // The pages were read only now.
      await staysFrozen(freezer);
      await network?.end(async () => undefined);
    }
    if (this.options.after === "as-before") await within(DUMP_MS, "runc checkpoint", dump.ended);
    await target.publish();
    return written;
  }

  /** The image is in place: CRIU ends the tasks, and leaves the network locked for their next life. */
  async #end({ engine, dump, freezer }: Parts): Promise<void> {
    await engine.request("dump-end", {}, { timeoutMs: HELD_MS });
    await within(DUMP_MS, "the end of the container", dump.ended);
    // Tasks that are frozen still take the kill only now.
    await attempt(() => freezer.thaw(THAW_MS));
  }

  async #tidy({ engine, dump, network, scratch, target }: Parts): Promise<void> {
    const { session } = this.options;
    if (!session) await engine.close();
    await dump.stop();
    await network?.dispose();
    if (!session) return void (await attempt(() => scratch.remove()));
    session.last = target.path;
    await session.renew();
  }

  /** @returns the error to report; by then nothing is left but logs */
  async #undo(error: MigrationError): Promise<MigrationError> {
    const { cgroup, target, network, freezer } = this.#acquired;
    const paused = this.options.before === "paused";
    const { criu } = this.options;
    const logs = await undoSource(
      () => ({ ...this.#acquired, lock: network?.lock, freezer: paused ? undefined : freezer }),
      undefined,
      criu.workPath === undefined ? [] : [join(criu.workPath, "dump.log")],
    );
    await network?.dispose();
    await target?.discard();
    if (this.#acquired.engine) await this.options.session?.end();
    // CRIU may have died with the container thawed for its parasite.
    if (paused && cgroup) await attempt(() => new Freezer(cgroup).freeze(FREEZE_MS));
    error.logs ??= logs;
    return error;
  }

  #acquire<K extends keyof Parts>(name: K, part: Parts[K]): Parts[K] {
    this.#acquired = { ...this.#acquired, [name]: part };
    return part;
  }

  #still(): void {
    if (this.options.signal?.aborted) throw cancelled();
  }

  #enter(phase: Progress["phase"]): void {
    this.#report({ phase, round: this.#rounds.length + (phase === "round" ? 1 : 0), bytes: 0 });
  }

  #notice(event: EngineEvent): void {
    if (event.event === "progress")
      this.#report({ ...this.#progress, bytes: event.writtenBytes ?? event.bytes });
  }

  #report(progress: Progress): void {
    this.#progress = progress;
    this.options.onProgress?.(progress);
  }
}

function cancelled(): MigrationError {
  return new MigrationError("cancelled", "the checkpoint was given up", {
    remedy: "none: the container runs on",
  });
}
