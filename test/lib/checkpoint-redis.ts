/** A Redis of which checkpoints are taken under load, by stock runC and CRIU or by us, and that is restored from them. */
import type { Lab } from "../lab/lab.js";
import { checkpoint, endTask, StockBundle, stockCheckpoint } from "./checkpoint.js";
import { awaitAnswer } from "./first-answer.js";
import { Load } from "./load.js";
import { RedisContainer, type RedisOptions } from "./redis.js";
import { warmMemory, warmthFor } from "./warm.js";

export type Tool = "stock" | "pclive";

export interface Taken {
  readonly frozenMs: number;
  readonly clientGapMs: number;
  readonly totalMs: number;
  readonly imageBytes: number;
  readonly lost: number;
}

export interface Restored {
  /** From the command to the first answer of the server. */
  readonly restoreMs: number;
  readonly dataRight: boolean;
}

const HOST = "a";
const VALUE_BYTES = 4096;
const CONNECTIONS = 8;
const SETTLE_MS = 1500;
/** Of the server's memory: room for a copy of it and for an image, found touched by both tools alike. */
const WARM = 2.2;
const RESTORE_MS = 120_000;
const FOLDER = "/tmp/bench-images";

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export class CheckpointedRedis {
  private constructor(
    private readonly lab: Lab,
    private readonly redis: RedisContainer,
    private readonly bundle: StockBundle,
  ) {}

  static async start(lab: Lab, options: Omit<RedisOptions, "valueBytes">): Promise<CheckpointedRedis> {
    const redis = await RedisContainer.start(lab, HOST, { ...options, valueBytes: VALUE_BYTES });
    await redis.populate();
    // Clients are connected: plain restores have to be told so by a file.
    const settings = "mkdir -p /etc/criu && echo tcp-established >/etc/criu/runc.conf";
    await lab.exec(HOST, ["sh", "-c", `${settings}; mkdir -p ${FOLDER}`]);
    return new CheckpointedRedis(lab, redis, await StockBundle.of(lab, HOST, options.id));
  }

  /** The server runs on; the image stays until the next of the same tool. */
  async checkpoint(tool: Tool, rate: number): Promise<Taken> {
    const { lab, redis } = this;
    const { id, memoryMb } = redis.options;
    const images = `${FOLDER}/${tool}`;
    await lab.exec(HOST, ["rm", "-rf", images]);
    const warm = await warmMemory(lab, Math.round(memoryMb * WARM));
    const load = Load.start(lab, redis, { rate, reads: 0.9, connections: CONNECTIONS });
    try {
      await sleep(SETTLE_MS);
      await warm.give();
      const begun = performance.now();
      const frozenMs =
        tool === "stock"
          ? await stockCheckpoint(lab, HOST, id, images)
          : ((await checkpoint(lab, HOST, id, images)).frozenMs ?? 0);
      const totalMs = performance.now() - begun;
      await sleep(SETTLE_MS);
      const { client_gap_ms, lost } = await load.stop(lab);
      const { stdout } = await lab.exec(HOST, ["du", "-sb", images]);
      return { frozenMs, clientGapMs: client_gap_ms, totalMs, lost, imageBytes: Number.parseInt(stdout, 10) };
    } finally {
      await warm.free();
      await load.stop(lab).catch(() => undefined);
    }
  }

  /** From here on it can be restored. */
  end(): Promise<void> {
    return endTask(this.lab, HOST, this.redis.options.id);
  }

  /** From the last image of the tool, just read once, by its own means; what is restored is taken away again. */
  async restore(tool: Tool): Promise<Restored> {
    const { lab, redis, bundle } = this;
    const { id, address, memoryMb } = redis.options;
    const images = `${FOLDER}/${tool}`;
    const warm = await warmMemory(lab, warmthFor(memoryMb));
    try {
      await lab.exec(HOST, ["sh", "-c", `cat ${images}/* >/dev/null`]);
      await warm.give();
      const answer = await awaitAnswer(lab, address, RESTORE_MS);
      const begun = Date.now();
      if (tool === "stock") await bundle.restore(images, RESTORE_MS);
      else await lab.exec(HOST, ["pclive", "restore", id, "--from", images], { timeoutMs: RESTORE_MS });
      const restoreMs = (await answer.at) - begun;
      const dataRight = await redis.verify().then(
        () => true,
        () => false,
      );
      return { restoreMs, dataRight };
    } finally {
      await warm.free();
      if (tool === "stock") await bundle.stop();
      else await this.end();
    }
  }

  async remove(): Promise<void> {
    await this.bundle.remove();
    await this.redis.remove(HOST);
    await this.lab.exec(HOST, ["rm", "-rf", FOLDER, "/etc/criu/runc.conf"]);
  }
}
