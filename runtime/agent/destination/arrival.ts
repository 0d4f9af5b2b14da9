/**
 * A container that arrives here, from its preparation to its release or its end. It outlives the stream that began it, and
 * the agent: after a restart it is made again from the journal.
 *
 * Released or refused, never both: whichever is asked for first stands, and the shim's record keeps it.
 */
import type { pclive } from "#protos/agent";
import { until } from "../../migration/deadline.js";
import { clearOrphan } from "../../migration/orphan.js";
import type { Recorder } from "../../trace/recorder.js";
import { scratchDir } from "../config.js";
import { deleteLease } from "../containerd/leases.js";
import { removeSnapshot } from "../containerd/snapshots.js";
import { deleteContainer, getTask, removeTask, startTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import type { JournalEntry } from "../journal.js";
import { BridgedNamespace, removeNamespace } from "../network/namespace.js";
import { fromShim, ShimClient } from "../shim-client.js";

const RELEASE_MS = 30_000;
const ABORT_MS = 30_000;
const DECIDED_MS = 30_000;
const START_ATTEMPTS = 5;

export type Verdict = "running" | "refused" | "held" | "unknown";
type Running = pclive.shim.v1.RunningReport;

export class Arrival {
  private releasing: Promise<Running> | undefined;
  private refusing: Promise<void> | undefined;
  private moving: Promise<void> | undefined;
  shim: ShimClient | undefined;
  /** Set when somebody wants to know where the time went. */
  recorder: Recorder | undefined;
  network: BridgedNamespace | undefined;

  constructor(
    private readonly context: Context,
    public entry: JournalEntry,
  ) {}

  private get log() {
    return this.context.log.child({ migration: this.entry.migration, container: this.entry.container });
  }

  /** Notes something durably, before it is done. */
  async note(change: Partial<JournalEntry>): Promise<void> {
    this.entry = { ...this.entry, ...change };
    await this.context.journal.write(this.entry);
  }

  /**
   * The source has committed: lets the container run. Idempotent.
   * @throws AgentError REFUSED when it had been given up before
   */
  release(): Promise<Running> {
    if (this.refusing !== undefined)
      return Promise.reject(new AgentError("REFUSED", "the container was given up here before"));
    this.releasing ??= this.doRelease();
    return this.releasing;
  }

  /**
   * Brings the container's addresses here. Idempotent.
   * @throws AgentError NETWORK; REFUSED when the container has been given up
   */
  moveAddress(): Promise<void> {
    if (this.refusing !== undefined)
      return Promise.reject(new AgentError("REFUSED", "the container was given up here before"));
    const end = this.recorder?.begin("agent", "address moved");
    this.moving ??= this.doMoveAddress()
      .then(() => end?.())
      .catch((error: unknown) => {
        this.moving = undefined;
        throw error;
      });
    return this.moving;
  }

  private async doMoveAddress(): Promise<void> {
    const { entry } = this;
    const { network } = this.context.config;
    if (!entry.made.netns || network.driver !== "bridge") return;
    this.network ??= await BridgedNamespace.reopen(entry.netns, network.bridge, entry.migration);
    await this.network.takeOver();
  }

  /** It will not run here: takes away everything that was made for it. Idempotent; nothing after a release. */
  refuse(reason: string): Promise<void> {
    if (this.releasing !== undefined) return Promise.resolve();
    this.refusing ??= this.doRefuse(reason);
    return this.refusing;
  }

  /** What the source may rely on. */
  async verdict(): Promise<Verdict> {
    const found = await this.context.records.read(this.entry.migration);
    if (found === undefined) return this.entry.outcome === "failed" ? "refused" : "unknown";
    const record = await this.context.records.settleOrphan(found);
    return record.state === "running" || record.state === "refused" || record.state === "held"
      ? record.state
      : "unknown";
  }

  private async doRelease(): Promise<Running> {
    const { migration, container: id, namespace } = this.entry;
    let report: Running;
    // It is ours now: a container that cannot be reached is better than none.
    await this.moveAddress().catch((error: unknown) =>
      this.log.error({ error: AgentError.from(error).message }, "the address could not be moved"),
    );
    try {
      this.shim ??= await ShimClient.connect(this.context.config, namespace, id);
      const released = this.shim.service.DestinationRelease({ migration, id }, { timeoutMs: RELEASE_MS });
      report = await (this.recorder?.during("agent", "shim releases", released) ?? released);
    } catch (error) {
      await this.releaseFailed(fromShim(error));
      throw fromShim(error);
    }
    // The source is waiting for its answer: the rest is done beside.
    this.settleIn().catch((error: unknown) =>
      this.log.error(
        { error: AgentError.from(error).message },
        "the container runs, but containerd could not be told",
      ),
    );
    return report;
  }

  /** An error after `running` was recorded is no refusal. Otherwise it may be tried again, or has been refused. */
  private async releaseFailed(error: AgentError): Promise<void> {
    const verdict = await this.verdict();
    this.log.error({ error: error.message, verdict }, "release failed");
    this.releasing = undefined;
    this.shim?.close();
    this.shim = undefined;
    if (verdict === "refused") await this.refuse(error.message);
  }

  /** containerd's own start, and the end of the journal. */
  private async settleIn(): Promise<void> {
    await this.startTask();
    const ns = this.context.containerd.namespace(this.entry.namespace);
    await deleteLease(ns, leaseName(this.entry.migration));
    await this.note({ phase: "done", outcome: "moved", endedAt: Date.now() });
    this.shim?.close();
  }

  /** Idempotent: a task that runs is started. */
  private async startTask(): Promise<void> {
    const ns = this.context.containerd.namespace(this.entry.namespace);
    for (let attempt = 1; ; attempt++) {
      try {
        await startTask(ns, this.entry.container);
        return;
      } catch (error) {
        const task = await getTask(ns, this.entry.container).catch(() => undefined);
        if (task?.status === "running") return;
        if (attempt >= START_ATTEMPTS) throw error;
        await pause(200 * attempt);
      }
    }
  }

  /** After a restart of the agent: the container runs, and what followed may be half done. */
  async finishRunning(): Promise<void> {
    await this.settleIn();
  }

  private async doRefuse(reason: string): Promise<void> {
    if ((await this.verdict()) === "running") return;
    this.log.warn({ reason }, "the container will not run here");
    // First of all, as the source wants to have them back.
    await this.withdrawAddress();
    await this.abortShim(reason);
    await this.cleanUp();
    await this.note({ phase: "refused", outcome: "failed", reason, endedAt: Date.now() });
  }

  private async withdrawAddress(): Promise<void> {
    await this.moving?.catch(() => undefined);
    const { made, netns } = this.entry;
    if (!made.netns || netns === "") return;
    await removeNamespace(netns).catch((error: unknown) =>
      this.log.warn({ error: AgentError.from(error).message }, "the address could not be withdrawn at once"),
    );
  }

  private async abortShim(reason: string): Promise<void> {
    const { migration, container: id, namespace } = this.entry;
    try {
      this.shim ??= await ShimClient.connect(this.context.config, namespace, id);
      await this.shim.service.DestinationAbort(
        { migration, id, reason: reason.slice(0, 1000) },
        { timeoutMs: ABORT_MS },
      );
    } catch {
      // No shim, no tasks: its record is settled by its absence.
    } finally {
      this.shim?.close();
      this.shim = undefined;
    }
  }

  /** @throws AgentError when something stays: the journal then still says so, and the next start tries again */
  private async cleanUp(): Promise<void> {
    const { migration, container, namespace, made, netns } = this.entry;
    const ns = this.context.containerd.namespace(namespace);
    // A shim that was killed cannot do it; what it left may keep the root file system busy.
    const steps: (() => Promise<unknown>)[] = [
      () => clearOrphan(migration, this.context.records, scratchDir(this.context.config)),
    ];
    if (made.container)
      steps.push(
        () => removeTask(ns, container),
        () => deleteContainer(ns, container),
      );
    const { snapshot } = made;
    if (snapshot) steps.push(() => removeSnapshot(ns, snapshot.snapshotter, snapshot.key));
    if (made.netns && netns !== "") steps.push(() => removeNamespace(netns));
    steps.push(() => deleteLease(ns, leaseName(migration)));
    let failure: unknown;
    for (const step of steps) {
      await step().catch((error: unknown) => {
        failure ??= error;
      });
    }
    await until(DECIDED_MS, 100, async () => ["refused", "unknown"].includes(await this.verdict()));
    if (failure !== undefined) throw failure;
  }
}

export function leaseName(migration: string): string {
  return `pclive-${migration}`;
}
