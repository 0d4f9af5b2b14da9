/**
 * A Redis in a container on a host of the lab: started by containerd with our shim, filled and digested from the client host.
 */
import type { Lab } from "../lab/lab.js";

/** Bytes that one key takes in Redis beside a value of 4 KiB, which jemalloc puts into 5 KiB: measured by RSS. */
const OVERHEAD_PER_KEY = 1120;

export interface RedisOptions {
  readonly id: string;
  readonly address: string; // in the lab's 10.10.0.0/16
  readonly memoryMb: number; // of resident data, approximately
  readonly valueBytes: number;
}

export const RUNTIME = "io.containerd.pclive.v2";
export const LOADGEN = "/repo/build/programs/loadgen/loadgen";

export class RedisContainer {
  readonly keys: number;

  private constructor(
    private readonly lab: Lab,
    readonly options: RedisOptions,
  ) {
    this.keys = Math.max(1, Math.floor((options.memoryMb * 1e6) / (options.valueBytes + OVERHEAD_PER_KEY)));
  }

  /**
   * Starts it on `host` and waits until it answers.
   * @param flags more words for `ctr run`
   */
  static async start(
    lab: Lab,
    host: string,
    options: RedisOptions,
    ...flags: string[]
  ): Promise<RedisContainer> {
    const redis = new RedisContainer(lab, options);
    await lab.netns(host, options.id, options.address);
    await lab.exec(host, [
      ...["ctr", "run", "-d", "--runtime", RUNTIME, "--with-ns", `network:/run/netns/${options.id}`],
      ...flags,
      ...[await lab.imageRef("redis"), options.id],
    ]);
    await redis.waitForPong(20_000);
    return redis;
  }

  /** Fills it with its keys, each with the one right value (test/programs/loadgen). */
  async populate(): Promise<void> {
    await this.lab.exec("c", [LOADGEN, ...this.loadArguments(), "--populate"], { timeoutMs: 300_000 });
  }

  /** Compares every key with the value it must have. @throws when one is wrong */
  async verify(): Promise<void> {
    await this.lab.exec("c", [LOADGEN, ...this.loadArguments(), "--verify"], { timeoutMs: 300_000 });
  }

  /** Redis' digest of the whole dataset, 40 hex digits. */
  async digest(): Promise<string> {
    const digest = (await this.cli(["debug", "digest"])).trim();
    if (!/^[0-9a-f]{40}$/.test(digest)) throw new Error(`redis gave no digest but: ${digest.slice(0, 200)}`);
    return digest;
  }

  async cli(words: readonly string[]): Promise<string> {
    const result = await this.lab.exec("c", ["redis-cli", "-h", this.options.address, ...words], {
      timeoutMs: 120_000,
    });
    return result.stdout;
  }

  /** Flags of the load generator that name this Redis and its dataset. */
  loadArguments(): string[] {
    return [
      ...[
        "--host",
        this.options.address,
        "--keys",
        String(this.keys),
        "--value-bytes",
        String(this.options.valueBytes),
      ],
    ];
  }

  /** Removes container and network on `host`; what is not there is no error. */
  async remove(host: string): Promise<void> {
    const id = this.options.id;
    await this.lab.exec(host, ["sh", "-c", removeScript(id)], { timeoutMs: 60_000 });
  }

  private async waitForPong(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const answer = await this.cli(["ping"]).catch(() => "");
      if (answer.trim() === "PONG") return;
      if (Date.now() > deadline)
        throw new Error(`redis ${this.options.id} does not answer after ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Ends and forgets the container `id` whatever state it is in. */
export function removeScript(id: string): string {
  return [
    `ctr task kill -s KILL ${id} >/dev/null 2>&1`,
    `for i in $(seq 50); do ctr task rm -f ${id} >/dev/null 2>&1; ctr task ls -q | grep -qx ${id} || break; sleep .1; done`,
    `ctr container rm ${id} >/dev/null 2>&1`,
    `ctr snapshot rm ${id} >/dev/null 2>&1`,
    `ip netns del ${id} 2>/dev/null`,
    "true",
  ].join("; ");
}
