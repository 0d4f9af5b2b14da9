/**
 * One migration, seen from its source, which drives it:
 *
 *   checking ─▶ connecting ─▶ image ─▶ preparing ─▶ rounds ─▶ switchover ─▶ committing ─▶ committed ─▶ done
 *      └───────────┴────────────┴──────────┴───────────┴───────────┘            │             └─▶ settling
 *                         any failure: rolled back                              └ decided by the shim's record
 *
 * Until the shim has recorded the commit, everything that goes wrong ends with the container running here. After it the
 * destination decides, and the source keeps asking until it knows.
 */
import { randomBytes } from "node:crypto";
import type { pclive } from "#protos/agent";
import { Phases } from "../../trace/phases.js";
import { Recorder, type Span } from "../../trace/recorder.js";
import { refusals } from "../check/finding.js";
import { checkSource } from "../check/source.js";
import { resolveHost } from "../config.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { sendBlobs } from "../image/source.js";
import type { JournalEntry } from "../journal.js";
import { formatManifest, type Manifest, type Strategy } from "../manifest.js";
import { Peer } from "../peer.js";
import type { Live } from "../registry.js";
import { fromShim, ShimClient } from "../shim-client.js";
import { arch, kernel, PROTOCOL, VERSION } from "../system.js";
import { confirmCommit, finishCommitted } from "./commit.js";
import { describeContainer, findSubject, netnsOf, type Subject, writableLayer } from "./describe.js";
import { Figures } from "./report.js";
import type { MigrationRequest } from "./request.js";
import { returnHome, runsHere } from "./rollback.js";
import { RootfsSync } from "./rootfs-sync.js";
import { copyRounds } from "./rounds.js";
import { PeerStream } from "./stream.js";
import { switchOver } from "./switchover.js";
import { timelineOf } from "./timeline.js";

export type Emit = (event: pclive.agent.v1.IMigrateEvent) => void;

type Point =
  /** Everything can be undone by leaving the shim's lease. */
  | { readonly kind: "undoable" }
  /** The shim has been asked to commit: its record decides. */
  | { readonly kind: "committing" }
  | { readonly kind: "over" };

/** What the steps of a migration share once both sides are ready. */
export interface Running {
  readonly context: Context;
  readonly request: MigrationRequest;
  readonly subject: Subject;
  readonly migration: string;
  /** The other host's name. */
  readonly peer: string;
  readonly stream: PeerStream;
  readonly shim: ShimClient;
  readonly rootfs: RootfsSync;
  /** The round at whose end the destination begins to put memory in place. */
  readonly stageAfter: number;
  readonly figures: Figures;
  readonly recorder: Recorder;
  readonly signal: AbortSignal;
  readonly live: Live;
  /** Milliseconds left of the whole migration's time. */
  remaining(): number;
  phase(name: string, detail?: string): void;
  emit(event: pclive.agent.v1.IMigrateEvent): void;
}

const CONNECT_MS = 10_000;
const OPEN_MS = 60_000;
const PREPARE_MS = 300_000;
const BEGIN_MS = 60_000;
const ROLLBACK_MS = 60_000;

export class SourceMigration implements Live {
  readonly migration = randomBytes(16).toString("hex");
  readonly role = "source";
  readonly startedAt = Date.now();
  readonly container: string;
  readonly namespace: string;
  readonly peer: string;
  readonly strategy: Strategy;
  phase = "check";
  round = 0;
  bytes = 0;

  private readonly abort = new AbortController();
  private readonly figures = new Figures();
  private readonly recorder = new Recorder();
  private readonly phases = new Phases(this.recorder, "agent");
  private readonly log;
  private point: Point = { kind: "undoable" };
  private connection: Peer | undefined;
  private stream: PeerStream | undefined;
  private shim: ShimClient | undefined;
  private entry: JournalEntry | undefined;

  constructor(
    private readonly context: Context,
    private readonly request: MigrationRequest,
    private readonly sink: Emit,
  ) {
    this.container = request.container;
    this.namespace = request.namespace;
    this.peer = request.host;
    this.strategy = request.strategy;
    this.log = context.log.child({ migration: this.migration, container: this.container });
  }

  cancel(reason: string): void {
    if (this.point.kind !== "undoable") {
      throw new AgentError(
        "TOO_LATE",
        "the container is committed to the destination: the migration can be cancelled no more",
        {
          remedy: "wait for its end (pclive status)",
        },
      );
    }
    this.abort.abort(new AgentError("CANCELLED", `the migration was cancelled: ${reason}`));
  }

  /** Runs to the end and tells everything by events: the last one is a report or a failure. */
  async run(): Promise<void> {
    const timer = setTimeout(() => {
      const message = `the migration took longer than ${Math.round(this.request.timeoutMs)} ms`;
      this.abort.abort(
        new AgentError("TIMEOUT", message, {
          remedy: "give it more time with --timeout, or a larger --downtime",
        }),
      );
    }, this.request.timeoutMs);
    try {
      this.context.registry.add(this);
    } catch (error) {
      clearTimeout(timer);
      this.fail(AgentError.from(error), await runsHere(this.context, this));
      return;
    }
    try {
      const running = await this.prepare();
      await this.move(running);
    } catch (error) {
      await this.undo(AgentError.from(error));
    } finally {
      clearTimeout(timer);
      this.shim?.close();
      this.stream?.end();
      this.connection?.close();
      this.context.registry.remove(this.migration);
    }
  }

  /** Everything up to the first round. */
  private async prepare(): Promise<Running> {
    this.tell("check");
    const subject = await findSubject(this.context, this.namespace, this.container);
    const manifest = await describeContainer(this.context, subject);
    refuse(await checkSource(this.context.config, subject, manifest, this.strategy));
    this.abort.signal.throwIfAborted();

    this.tell("connect", this.request.host);
    const address = resolveHost(this.context.config, this.request.host);
    this.connection = new Peer(this.context, address);
    await this.connection.ready(CONNECT_MS);
    await this.open(this.connection, manifest);
    const stream = new PeerStream(this.connection);
    this.stream = stream;
    const { host } = this.context.config;
    const version = { protocol: PROTOCOL, pclive: VERSION, arch: arch(), kernel: kernel(), host };
    await stream.send({
      open: {
        version,
        migration: this.migration,
        strategy: this.strategy,
        manifestJson: formatManifest(manifest),
        trace: this.request.trace,
        cpuPercent: this.request.cpuPercent,
        stageAfter: this.request.stageAfter ?? null,
      },
    });
    await this.sendImage(stream, subject, manifest);

    this.tell("prepare");
    const prepared = await stream.expect("prepared", PREPARE_MS, this.abort.signal);
    const shim = await ShimClient.connect(this.context.config, this.namespace, this.container);
    this.shim = shim;
    shim.closed.addEventListener(
      "abort",
      () => this.abort.abort(new AgentError("SHIM", "the container's shim is gone")),
      { once: true },
    );
    await this.begin(shim, manifest, prepared, address);
    const layer = await writableLayer(this.context, subject);
    return this.running(
      subject,
      stream,
      shim,
      new RootfsSync(layer, stream, this.recorder),
      prepared.stageAfter ?? 0,
    );
  }

  /** From now on there is something to clean up after a restart. */
  private async open(peer: Peer, manifest: Manifest): Promise<void> {
    this.entry = {
      version: 1,
      migration: this.migration,
      role: "source",
      container: this.container,
      namespace: this.namespace,
      strategy: this.strategy,
      peer: { name: peer.address.name, host: peer.address.host, port: peer.address.port },
      startedAt: this.startedAt,
      netns: netnsOf(manifest.network),
      made: { netns: false, container: false },
      ...(this.request.keepStopped ? { keepStopped: true } : {}),
      phase: "open",
      reason: "",
    };
    await this.context.journal.write(this.entry);
  }

  private async sendImage(stream: PeerStream, subject: Subject, manifest: Manifest): Promise<void> {
    const { digests } = await stream.expect("needBlobs", OPEN_MS, this.abort.signal);
    const wanted = new Set(digests ?? []);
    const blobs = manifest.image.blobs.filter((blob) => wanted.has(blob.digest));
    this.tell(
      "image",
      blobs.length === 0 ? "already there" : `${blobs.length} of ${manifest.image.blobs.length} parts`,
    );
    if (this.connection)
      await sendBlobs(this.connection, subject.ns, this.migration, blobs, this.abort.signal);
    await stream.send({ imageSent: {} });
  }

  private async begin(
    shim: ShimClient,
    manifest: Manifest,
    prepared: pclive.peer.v1.IPrepared,
    address: { name: string; host: string },
  ): Promise<void> {
    const { ca, cert, key } = this.context.config.tls;
    const request: pclive.shim.v1.ISourceBeginRequest = {
      migration: this.migration,
      id: this.container,
      strategy: this.strategy,
      host: prepared.host || address.host,
      port: prepared.port ?? 0,
      token: prepared.token ?? new Uint8Array(),
      tls: { ca, cert, key, peerName: address.name },
      tracker: this.request.tracker,
      bandwidth: this.request.bandwidth,
      streams: this.request.streams,
      cpuPercent: this.request.cpuPercent,
      headroomPercent: this.request.headroomPercent,
      netns: netnsOf(manifest.network),
      trace: this.request.trace,
    };
    const { tracker } = await shim.service
      .SourceBegin(request, { timeoutMs: BEGIN_MS, signal: this.abort.signal })
      .catch(this.orAbort);
    this.figures.tracker = tracker;
  }

  private running(
    subject: Subject,
    stream: PeerStream,
    shim: ShimClient,
    rootfs: RootfsSync,
    stageAfter: number,
  ): Running {
    return {
      context: this.context,
      request: this.request,
      subject,
      migration: this.migration,
      peer: this.connection?.name ?? this.peer,
      stream,
      shim,
      rootfs,
      stageAfter,
      figures: this.figures,
      recorder: this.recorder,
      signal: this.abort.signal,
      live: this,
      remaining: () => Math.max(1, this.startedAt + this.request.timeoutMs - Date.now()),
      phase: (name, detail) => this.tell(name, detail),
      emit: (event) => this.event(event),
    };
  }

  private async move(running: Running): Promise<void> {
    await copyRounds(running).catch(this.orAbort);
    await switchOver(running).catch(this.orAbort);
    this.abort.signal.throwIfAborted();
    this.point = { kind: "committing" };
    const confirmed = confirmCommit(running);
    // Told while the shim works: the container is frozen, and this would be a part of its pause.
    this.tell("commit");
    await confirmed;
    this.point = { kind: "over" };
    const { entry } = this;
    if (entry === undefined) throw new AgentError("INTERNAL", "committed without a journal entry");
    this.entry = { ...entry, phase: "committed" };
    await finishCommitted(running, this.entry, {
      moved: async (spans) => {
        if (this.request.trace) await this.tellTimeline(running, spans);
        this.event({ report: this.figures.report(this.container, running.peer, this.strategy) });
        this.learn(running.peer);
      },
      failed: (error, runsHere) => this.fail(error, runsHere),
    });
  }

  private async tellTimeline(running: Running, shimSpans: readonly Span[]): Promise<void> {
    this.phases.end();
    for (const trace of await timelineOf(running, shimSpans)) this.event({ trace });
  }

  private learn(peer: string): void {
    const past = this.figures.past(peer, this.strategy);
    if (past === undefined) return;
    this.context.costs.add(past).catch((error: unknown) => {
      this.log.warn({ error: AgentError.from(error).message }, "what the switchover cost is not kept");
    });
  }

  /** Before the commit: the container runs on here, and both sides forget. */
  private async undo(error: AgentError): Promise<void> {
    this.point = { kind: "over" };
    const reason = `${error.code}: ${error.message}`;
    this.log.warn({ code: error.code, error: error.message }, "migration failed");
    const { migration, container: id } = this;
    this.phase = "rollback";
    if (this.shim !== undefined) {
      await this.shim.service
        .SourceRollback({ migration, id, reason: reason.slice(0, 1000) }, { timeoutMs: ROLLBACK_MS })
        .catch((failure: unknown) =>
          this.log.error(
            { error: fromShim(failure).message },
            "the shim could not roll back by request; it does when we hang up",
          ),
        );
      this.shim.close();
    }
    this.stream?.abort(reason);
    if (this.entry !== undefined) await returnHome(this.context, this.entry, reason);
    this.fail(error, await runsHere(this.context, this));
  }

  /** Whatever fails after a cancel, a time-out or a lost shim fails because of it. */
  private readonly orAbort = (error: unknown): never => {
    if (this.abort.signal.aborted) throw AgentError.from(this.abort.signal.reason, "CANCELLED");
    throw fromShim(error);
  };

  private tell(name: string, detail = ""): void {
    this.phase = name;
    this.phases.enter(name);
    this.log.info({ phase: name, detail }, "migration");
    this.event({ phase: { name, detail } });
  }

  private fail(error: AgentError, runsHere: boolean): void {
    const { code, message, remedy, logs } = error;
    this.event({ failure: { code, message, remedy, containerRunsHere: runsHere, logs } });
  }

  private event(event: pclive.agent.v1.IMigrateEvent): void {
    this.sink({ migration: this.migration, at: Date.now(), ...event });
  }
}

function refuse(findings: Awaited<ReturnType<typeof checkSource>>): void {
  const [first, ...more] = refusals(findings);
  if (first === undefined) return;
  const message = [first, ...more].map((one) => one.message).join("; ");
  throw new AgentError("CHECK_REFUSED", message, { remedy: first.remedy });
}
