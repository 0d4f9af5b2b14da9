/**
 * One protected container: a checkpoint every so often, until it ends or nobody wants it any more. The engine stays attached to
 * it in between, for as long as our connection to its shim is there.
 */
import type { pclive } from "#protos/agent";
import { attempt } from "../../migration/deadline.js";
import { mustHaveState } from "../checkpoint/subject.js";
import { getTask, waitForExit } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import { fromShim, ShimClient } from "../shim-client.js";
import { nextIsComplete, superfluous } from "./chain.js";
import { ImageFolder } from "./images.js";
import type { ProtectedImage, ProtectRecord, ProtectRecords } from "./record.js";
import { Standby } from "./standby.js";

const TAKE_MS = 24 * 3600 * 1000;
/** Whatever goes wrong, not more often than this. */
const LEAST_PAUSE_MS = 500;

export class Protection {
  readonly #stop = new AbortController();
  readonly #folder: ImageFolder;
  readonly #standby: Standby | undefined;
  #shim: ShimClient | undefined;
  #over: Promise<void> = Promise.resolve();

  constructor(
    private readonly context: Context,
    private readonly records: ProtectRecords,
    private record: ProtectRecord,
  ) {
    this.#folder = new ImageFolder(record.to);
    const { peer } = record;
    if (peer !== undefined)
      this.#standby = new Standby(context, record, peer, this.#folder, this.#stop.signal);
  }

  get state(): ProtectRecord {
    return this.record;
  }

  /** Goes on by itself from here. */
  start(): void {
    this.#over = this.#run().catch((error: Error) => this.#log.error(`protect: ${error.message}`));
  }

  /** No checkpoint begins any more, and the one under way is given up. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#shim?.close();
    await this.#over;
  }

  get #log() {
    const { namespace, container } = this.record;
    return this.context.log.child({ namespace, container });
  }

  get #ns() {
    return this.context.containerd.namespace(this.record.namespace);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    await this.#takeUp();
    while (!signal.aborted && !(await this.#hasEnded())) {
      const begun = Date.now();
      if (!this.#isMoved) await this.#tryToTake();
      await this.#wait(begun + this.record.everyMs);
    }
    this.#shim?.close();
  }

  /** Then there is nothing to take: it ends here with the migration, or runs on. */
  get #isMoved(): boolean {
    const { namespace, container } = this.record;
    return this.context.registry.find(namespace, container) !== undefined;
  }

  /** Noted, if so: it is not taken up again should the container be started anew. */
  async #hasEnded(): Promise<boolean> {
    const { container } = this.record;
    // containerd may be away for a while: whether the container is gone it tells later.
    const task = await getTask(this.#ns, container).catch(() => "unknown" as const);
    if (task === "unknown" || task?.status === "running" || task?.status === "paused") return false;
    await this.#note({ ...this.record, ended: { at: Date.now(), reason: "the container has ended" } });
    this.#log.info("protect: the container has ended");
    return true;
  }

  /** After a restart of the agent. */
  async #takeUp(): Promise<void> {
    const { taking } = this.record;
    if (taking === undefined) return;
    const finished = await this.#folder.describe(taking);
    if (!finished) await this.#folder.discard(taking);
    const { images, ...rest } = without(this.record, "taking");
    await this.#note({ ...rest, images: finished ? [...images, finished] : images });
  }

  /** Until that time, or the end of the container. */
  async #wait(time: number): Promise<void> {
    const { signal } = this.#stop;
    const until = Math.max(time, Date.now() + LEAST_PAUSE_MS);
    for (let now = Date.now(); !signal.aborted && now < until; now = Date.now()) {
      const exit = waitForExit(this.#ns, this.record.container, until - now, signal);
      if (await exit.catch(() => false)) return;
      // An answer at once is none.
      if (Date.now() < Math.min(until, now + LEAST_PAUSE_MS)) await pause(LEAST_PAUSE_MS, signal);
    }
  }

  async #tryToTake(): Promise<void> {
    try {
      const image = await this.#take();
      await this.#note({
        ...without(this.record, "taking", ...(this.#standby ? [] : (["failure"] as const))),
        images: [...this.record.images, image],
      });
      await this.#folder.setLatest(image.name);
      await this.#prune();
      await this.#sendAway();
    } catch (thrown) {
      if (this.#stop.signal.aborted) return;
      await this.#giveUp(AgentError.from(thrown));
    }
  }

  async #giveUp({ code, message, remedy, logs }: AgentError): Promise<void> {
    const { taking } = this.record;
    if (taking !== undefined) await attempt(() => this.#folder.discard(taking));
    // It gave way to what somebody asked for: nothing is wrong.
    if (code === "CANCELLED") return void (await attempt(() => this.#note(without(this.record, "taking"))));
    this.#log.warn({ code, logs }, `protect: ${message}`);
    const failure = {
      ...{ at: Date.now(), code },
      message: message.slice(0, 4096),
      remedy: remedy.slice(0, 4096),
    };
    await attempt(() => this.#note({ ...without(this.record, "taking"), failure }));
  }

  async #sendAway(): Promise<void> {
    if (!this.#standby) return;
    await this.#standby.send(this.record.images);
    await this.#note(without(this.record, "failure"));
  }

  async #take(): Promise<ProtectedImage> {
    const { container: id, asked, images } = this.record;
    const shim = await this.#connect();
    const name = await this.#folder.nextName();
    await this.#note({ ...this.record, taking: name });
    const at = Date.now();
    const request = {
      ...asked,
      id,
      path: this.#folder.of(name),
      keep: true,
      incremental: !(nextIsComplete(images) || (await this.#standby?.needsComplete())),
    };
    const report = await shim.checkpoints.Take(request, { timeoutMs: TAKE_MS }).catch((error: unknown) => {
      throw fromShim(error);
    });
    const { parent, frozenMs, totalMs } = report;
    const bytes = await this.#folder.bytes(name);
    this.#log.info(
      { name, parent, bytes, frozenMs, mode: report.mode, reason: report.reason },
      "protect: checkpoint",
    );
    return { name, parent, at, bytes, frozenMs: report.mode === "plain" ? totalMs : frozenMs, totalMs };
  }

  /** @throws AgentError */
  async #connect(): Promise<ShimClient> {
    const { namespace, container } = this.record;
    await mustHaveState(this.#ns, container);
    if (this.#shim && !this.#shim.closed.aborted) return this.#shim;
    const shim = await ShimClient.connect(this.context.config, namespace, container);
    this.#shim = shim;
    if (this.#stop.signal.aborted) shim.close();
    return shim;
  }

  /** What is noted as there is there: so the note goes first. */
  async #prune(): Promise<void> {
    const { images, keep } = this.record;
    const names = superfluous(images, keep);
    await this.#note({ ...this.record, images: images.filter((image) => !names.includes(image.name)) });
    for (const name of names) await this.#folder.remove(name);
  }

  async #note(record: ProtectRecord): Promise<void> {
    this.record = record;
    await this.records.write(record);
  }
}

function without<K extends "taking" | "failure">(record: ProtectRecord, ...keys: K[]): ProtectRecord {
  const rest = { ...record };
  for (const key of keys) delete rest[key];
  return rest;
}

export function describeProtection(record: ProtectRecord): pclive.agent.v1.IProtection {
  const { container, namespace, to, peer = "", everyMs, keep, images, failure, ended } = record;
  return {
    ...{ container, namespace, to, peer, everyMs, keep },
    images: images.map((image) => ({ ...image, bytes: Math.round(image.bytes) })),
    state: ended ? "ended" : "on",
    reason: ended?.reason ?? "",
    ...(failure && {
      failedAt: failure.at,
      failure: {
        code: failure.code,
        message: failure.message,
        remedy: failure.remedy,
        containerRunsHere: !ended,
      },
    }),
  };
}
