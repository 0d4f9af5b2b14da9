/**
 * The destination's end of a migration's stream.
 *
 *   open ─▶ image ─▶ prepare ─▶ receiving ─▶ (ready said) held ─▶ running
 *     └────────┴─────────┴──────────┴─▶ refused          └─▶ refused
 *
 * Until `ready` was said a lost stream means that nothing comes of it. After that the source may have committed: what is
 * restored stays held, and the source is asked until it answers.
 */
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { z } from "zod";
import type { pclive } from "#protos/agent";
import { unixMs } from "../../clock.js";
import { Phases } from "../../trace/phases.js";
import { Recorder } from "../../trace/recorder.js";
import { toWire } from "../../trace/wire.js";
import { checkDestination } from "../check/destination.js";
import { refusals } from "../check/finding.js";
import { ensureName } from "../config.js";
import { createLease } from "../containerd/leases.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { writeMessage } from "../grpc/method.js";
import { missingBlobs } from "../image/destination.js";
import { Inbox } from "../inbox.js";
import { type Manifest, migrationId, parseManifest, strategyName } from "../manifest.js";
import { callerAddress, requireCaller } from "../peer.js";
import type { Live } from "../registry.js";
import { Unpacker } from "../rootfs/unpack.js";
import { fromShim } from "../shim-client.js";
import { arch, availableMemory, PROTOCOL } from "../system.js";
import { Arrival, leaseName } from "./arrival.js";
import type { Arrivals } from "./arrivals.js";
import { type Pacing, type PreparedContainer, pacingSchema, prepareArrival } from "./prepare.js";
import { chooseStageAfter } from "./stage-after.js";

type In = pclive.peer.v1.ToDestination;
type Out = pclive.peer.v1.IToSource;
export type MigrateCall = ServerDuplexStream<In, Out>;

const OPEN_MS = 15_000;
const IMAGE_MS = 1_800_000;
const STALL_MS = 30_000;
const APPLY_MS = 300_000;
const PROGRESS_EVERY_MS = 500;
const PROGRESS_MS = 5_000;
/** The source's own time-out is shorter; its end is what mostly ends ours. */
const WHOLE_MS = 24 * 3600 * 1000;

export class DestinationSession {
  private readonly inbox = new Inbox<In>();
  private readonly lost = new AbortController();
  private readonly recorder = new Recorder();
  private readonly phases = new Phases(this.recorder, "agent");
  private arrival: Arrival | undefined;
  private live: Live | undefined;
  /** From here on the source may commit. */
  private readySaid = false;
  private unpacking: Unpacker | undefined;
  /** Rootfs pieces are applied in the order in which they come. */
  private applying: Promise<void> = Promise.resolve();
  private prepared: PreparedContainer | undefined;

  constructor(
    private readonly context: Context,
    private readonly arrivals: Arrivals,
    private readonly call: MigrateCall,
  ) {}

  /** Runs until the stream has nothing more to do. Never rejects. */
  async run(): Promise<void> {
    this.listen();
    try {
      await this.receive();
    } catch (error) {
      await this.giveUp(AgentError.from(error));
    } finally {
      this.unpacking?.abort();
      this.forget();
    }
  }

  /** Unless the source's decision is still to come. */
  private forget(): void {
    if (this.live === undefined || this.arrivals.isPending(this.live.migration)) return;
    this.context.registry.remove(this.live.migration);
    if (this.arrival !== undefined) this.arrivals.forget(this.arrival.entry.migration);
  }

  private listen(): void {
    this.call.on("data", (message: In) => {
      if (message.message === "rootfsDiff") return this.takeRootfs(message.rootfsDiff ?? {});
      if (message.message === "clock") return this.tellClock();
      if (message.message === undefined)
        return this.lose(new AgentError("PROTOCOL", "a message of an unknown kind"));
      if (message.message === "abort")
        return this.lose(new AgentError("CANCELLED", `the source gave up: ${message.abort?.reason ?? ""}`));
      this.inbox.push(message.message, message);
    });
    const gone = () => this.lose(new AgentError("PEER_UNREACHABLE", "the connection to the source was lost"));
    for (const event of ["cancelled", "error", "end", "close"]) this.call.on(event, gone);
  }

  private lose(error: AgentError): void {
    this.inbox.fail(error);
    this.lost.abort(error);
  }

  private tellClock(): void {
    if (!this.call.destroyed) this.call.write({ clock: { at: unixMs() } });
  }

  private async receive(): Promise<void> {
    const open = (await this.inbox.next("open", OPEN_MS)).open ?? {};
    const { arrival, manifest } = await this.accept(open);
    await this.takeImage(arrival, manifest);
    this.phase("prepare");
    const prepared = await prepareArrival(this.context, arrival, manifest, pacing(open, manifest));
    this.prepared = prepared;
    this.lost.signal.throwIfAborted();
    const host = this.context.config.advertise ?? specific(this.context.config.listen.host);
    await this.send({
      prepared: { host, port: prepared.port, token: prepared.token, stageAfter: prepared.stageAfter },
    });
    this.phase("receiving");
    const addressMoved = this.inbox.next("switchover", WHOLE_MS).then(() => arrival.moveAddress());
    addressMoved.catch((error: unknown) => this.lose(AgentError.from(error)));
    await this.hold(arrival);
    await this.inbox.next("commit", WHOLE_MS);
    const released = arrival.release();
    this.phase("commit");
    const { pid, runningAt, releaseMs, rssBytes, spans } = await released;
    this.phase("running");
    await this.send({
      running: { pid, runningAt, releaseMs, rssBytes, ageMs: Math.max(0, Date.now() - runningAt) },
    });
    if (arrival.recorder !== undefined) {
      this.phases.end();
      await this.send({ trace: { spans: [...toWire(this.recorder.spans), ...spans] } });
    }
    // Once more, now that packets may pass: a switch that lost the first announcement learns it here.
    await arrival.network?.announce().catch(() => undefined);
  }

  /** @throws AgentError: the refusal, with its reason */
  private async accept(open: pclive.peer.v1.IOpen): Promise<{ arrival: Arrival; manifest: Manifest }> {
    const { config, registry, containerd } = this.context;
    const version = open.version ?? {};
    checkVersion(version);
    const source = ensureName(version.host ?? "");
    requireCaller(this.call, source);
    const migration = checked(migrationId, open.migration, "a migration id");
    const strategy = checked(strategyName, open.strategy, "a strategy");
    const manifest = parseManifest(open.manifestJson ?? "");
    if (await this.context.journal.read(migration))
      throw new AgentError("PROTOCOL", "this migration's id was used before");
    this.live = {
      migration,
      role: "destination",
      container: manifest.container,
      namespace: manifest.namespace,
      peer: source,
      strategy,
      startedAt: Date.now(),
      phase: "open",
      round: 0,
      bytes: 0,
      cancel: (reason) => this.cancel(reason),
    };
    try {
      registry.add(this.live);
    } catch (error) {
      this.live = undefined; // somebody else's entry must stay
      throw error;
    }
    const [refused, ...more] = refusals(await checkDestination(this.context, manifest, strategy));
    if (refused !== undefined) {
      throw new AgentError("CHECK_REFUSED", [refused, ...more].map((one) => one.message).join("; "), {
        remedy: refused.remedy,
      });
    }
    const known = config.hosts[source] === undefined ? callerAddress(this.call) : config.hosts[source];
    const arrival = new Arrival(this.context, {
      version: 1,
      migration,
      role: "destination",
      container: manifest.container,
      namespace: manifest.namespace,
      strategy,
      peer: { name: source, host: known.replace(/:\d+$/, ""), port: manifest.agent.port },
      startedAt: this.live.startedAt,
      netns: manifest.network.kind === "path" ? manifest.network.path : "",
      made: { netns: false, container: false },
      phase: "open",
      reason: "",
    });
    if (open.trace) arrival.recorder = this.recorder;
    await arrival.note({});
    this.arrival = arrival;
    this.arrivals.add(arrival);
    await containerd.ensureNamespace(manifest.namespace);
    await createLease(containerd.namespace(manifest.namespace), leaseName(migration));
    return { arrival, manifest };
  }

  private async takeImage(arrival: Arrival, manifest: Manifest): Promise<void> {
    this.phase("image");
    const { migration } = arrival.entry;
    const ns = this.context.containerd.namespace(manifest.namespace, leaseName(migration));
    const missing = await missingBlobs(ns, manifest.image);
    this.arrivals.expectBlobs(migration, ns, missing);
    await this.send({ needBlobs: { digests: missing.map((blob) => blob.digest) } });
    await this.inbox.next("imageSent", IMAGE_MS);
    this.arrivals.expectBlobs(migration, ns, []);
  }

  /** Waits until everything is restored and held, tells the source how staging goes, and says ready. */
  private async hold(arrival: Arrival): Promise<void> {
    const { shim } = arrival;
    if (shim === undefined) throw new AgentError("INTERNAL", "prepared without a shim");
    const which = { migration: arrival.entry.migration, id: arrival.entry.container };
    const ready = shim.service.DestinationReady(which, { timeoutMs: WHOLE_MS, signal: this.lost.signal });
    const progress = setInterval(() => {
      shim.service
        .Progress(which, { timeoutMs: PROGRESS_MS })
        .then(({ stagedBytes, backlogBytes, round }) => {
          if (this.live) Object.assign(this.live, { bytes: stagedBytes, round });
          this.call.write({ progress: { stagedBytes, backlogBytes } });
        })
        .catch(() => undefined);
    }, PROGRESS_EVERY_MS);
    try {
      const { restoreMs, memoryRestoreMs, stagedBytes, heldAt } = await ready;
      this.lost.signal.throwIfAborted();
      this.readySaid = true;
      this.phase("held");
      await this.send({ ready: { restoreMs, memoryRestoreMs, stagedBytes, heldAt } });
    } catch (error) {
      throw this.lost.signal.aborted ? AgentError.from(this.lost.signal.reason) : fromShim(error);
    } finally {
      clearInterval(progress);
    }
  }

  private takeRootfs(diff: pclive.peer.v1.IRootfsDiff): void {
    const { prepared } = this;
    if (prepared === undefined) {
      this.lose(new AgentError("PROTOCOL", "files came before there was a place for them"));
      return;
    }
    this.call.pause();
    this.applying = this.applying
      .then(() => this.applyRootfs(prepared.rootfs, diff))
      .catch((error: unknown) => this.refuseFiles(AgentError.from(error)))
      .finally(() => this.call.resume());
  }

  private async applyRootfs(rootfs: string, diff: pclive.peer.v1.IRootfsDiff): Promise<void> {
    this.unpacking ??= new Unpacker(rootfs, this.context.config.limits.rootfs);
    if (diff.data?.length) await this.unpacking.add(diff.data);
    if (!diff.end) return;
    await this.unpacking.finish(APPLY_MS);
    this.unpacking = undefined;
    await this.send({ rootfsApplied: {} });
  }

  private refuseFiles(error: AgentError): void {
    this.unpacking?.abort();
    this.lose(error);
  }

  private cancel(reason: string): void {
    if (this.readySaid) {
      throw new AgentError("TOO_LATE", "the container is restored here: only its source can cancel now", {
        remedy: "cancel at the source",
      });
    }
    this.lose(new AgentError("CANCELLED", `cancelled at the destination: ${reason}`));
  }

  /** Before ready: refuses. After it: only an explicit abort, which a source sends only when it has not committed, is a reason to. */
  private async giveUp(error: AgentError): Promise<void> {
    this.context.log.warn(
      { migration: this.live?.migration, code: error.code, error: error.message },
      "incoming migration failed",
    );
    const { arrival } = this;
    const { code, message, remedy } = error;
    if (!this.call.destroyed && !this.call.cancelled) this.call.write({ refused: { code, message, remedy } });
    if (arrival !== undefined && this.readySaid && error.code !== "CANCELLED") {
      if (this.live) this.live.phase = "held";
      this.arrivals.settle(arrival);
      return;
    }
    await arrival?.refuse(`${code}: ${message}`).catch((failure: unknown) => {
      this.context.log.error(
        { error: AgentError.from(failure).message },
        "not everything could be removed; it is tried again at the next start",
      );
    });
  }

  private async send(message: Out): Promise<void> {
    this.lost.signal.throwIfAborted();
    await writeMessage(this.call, message, STALL_MS);
  }

  private phase(name: string): void {
    this.phases.enter(name);
    if (this.live) this.live.phase = name;
    this.context.log.info({ migration: this.live?.migration, phase: name }, "incoming migration");
  }
}

export function checkVersion(version: pclive.peer.v1.IVersion): void {
  if (version.protocol !== PROTOCOL) {
    throw new AgentError(
      "REFUSED",
      `the source speaks version ${version.protocol ?? 0} of the protocol, this host ${PROTOCOL}`,
      {
        remedy: "install the same version of PCLive on both hosts",
      },
    );
  }
  if (version.arch !== arch()) {
    throw new AgentError(
      "REFUSED",
      `the source is ${String(version.arch).slice(0, 64)}, this host ${arch()}`,
      {
        remedy: "choose a host of the same architecture",
      },
    );
  }
}

/** How the engine shall take the memory. @throws AgentError PROTOCOL */
function pacing(open: pclive.peer.v1.IOpen, manifest: Manifest): Pacing {
  const stageAfter = open.stageAfter ?? chooseStageAfter(manifest.memory.resident, availableMemory());
  return checked(pacingSchema, { cpuPercent: open.cpuPercent ?? 0, stageAfter }, "a bound of the engine");
}

function checked<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new AgentError("PROTOCOL", `${JSON.stringify(value)?.slice(0, 80)} is not ${what}`);
}

/** Empty for an address that means all: the source then uses the one by which it reached us. */
function specific(host: string): string {
  return host === "0.0.0.0" || host === "::" ? "" : host;
}
