/**
 * Slows a container down by the processor quota of its cgroup, so that it writes less memory than the link carries. What the
 * quota was is on disk before it is changed: whoever cleans up after a shim that died puts it back.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../durable.js";
import { MigrationError } from "./error.js";
import type { CpuCgroup } from "./types.js";

/** In the scratch folder. */
const RECORD = "throttle.json";
/** The kernel takes no quota below a millisecond. */
const LEAST_QUOTA_US = 1000;
/** A container that idles has little to be taken from; less than this would stop it. */
const LEAST_CPUS = 0.02;
const USUAL_PERIOD_US = 100_000;

const record = z.object({
  path: z.string().regex(/^\/[^\0]*\/(cpu\.max|cpu\.cfs_quota_us)$/),
  before: z.string().regex(/^(-1|max|\d{1,12})( \d{1,12})?$/),
});

interface Quota {
  /** Undefined: no limit. */
  readonly quotaUs: number | undefined;
  readonly periodUs: number;
}

export class Throttle {
  readonly #path: string;
  readonly #recordPath: string;
  readonly #since = performance.now();
  #before: { readonly text: string; readonly quota: Quota; readonly cpus: number } | undefined;

  private constructor(
    private readonly cpu: CpuCgroup,
    scratch: string,
    private readonly usedBefore: number,
  ) {
    this.#path = quotaPath(cpu);
    this.#recordPath = join(scratch, RECORD);
  }

  /** Begins to measure how much the container takes by itself. @param scratch folder for the record */
  static async watch(cpu: CpuCgroup, scratch: string): Promise<Throttle> {
    return new Throttle(cpu, scratch, await usedMs(cpu));
  }

  /**
   * Lets the container have `share` of what it took before it was slowed down for the first time.
   * @returns the processors that it may use now
   * @throws MigrationError `unsupported` when the kernel has no quota for it
   */
  async slow(share: number): Promise<number> {
    try {
      this.#before ??= await this.#remember();
      const { quota, cpus } = this.#before;
      const wanted = Math.max(LEAST_CPUS, share * cpus);
      const quotaUs = Math.max(LEAST_QUOTA_US, Math.round(wanted * quota.periodUs));
      await writeFile(this.#path, this.cpu.version === 1 ? `${quotaUs}` : `${quotaUs} ${quota.periodUs}`);
      return quotaUs / quota.periodUs;
    } catch (error) {
      throw new MigrationError("unsupported", `the container cannot be slowed down: ${messageOf(error)}`, {
        remedy: "migrate without --auto-converge, or enable the cpu controller for its cgroup",
        cause: error,
      });
    }
  }

  /** The quota is what it was. Idempotent. @throws MigrationError `internal` */
  async undo(): Promise<void> {
    const before = this.#before;
    if (!before) return;
    await putBack(this.#path, before.text);
    this.#before = undefined;
  }

  async #remember() {
    const text = (await readFile(this.#path, "utf8")).trim();
    const quota = await this.#parse(text);
    const limit = quota.quotaUs === undefined ? Infinity : quota.quotaUs / quota.periodUs;
    const used = ((await usedMs(this.cpu)) - this.usedBefore) / (performance.now() - this.#since);
    await writeDurably(this.#recordPath, JSON.stringify(record.parse({ path: this.#path, before: text })));
    return { text, quota, cpus: Math.min(limit, Math.max(LEAST_CPUS, used)) };
  }

  async #parse(text: string): Promise<Quota> {
    const [quota, period] =
      this.cpu.version === 2
        ? text.split(" ")
        : [text, (await readFile(join(this.cpu.folder, "cpu.cfs_period_us"), "utf8")).trim()];
    const quotaUs = Number(quota);
    return {
      quotaUs: quotaUs > 0 ? quotaUs : undefined,
      periodUs: Number(period) > 0 ? Number(period) : USUAL_PERIOD_US,
    };
  }
}

/** For a migration whose shim is gone. A cgroup that is gone as well needs nothing. @throws MigrationError `internal` */
export async function undoThrottle(scratch: string): Promise<void> {
  const text = await readFile(join(scratch, RECORD), "utf8").catch(() => undefined);
  if (text === undefined) return;
  let found: z.infer<typeof record>;
  try {
    found = record.parse(JSON.parse(text));
  } catch {
    return;
  }
  await putBack(found.path, found.before);
}

async function putBack(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, `${text}\n`, { flag: "r+" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new MigrationError("internal", `${path} cannot be set back to ${text}: ${messageOf(error)}`, {
      remedy: `echo ${text} > ${path}`,
      cause: error,
    });
  }
}

function quotaPath({ version, folder }: CpuCgroup): string {
  return join(folder, version === 1 ? "cpu.cfs_quota_us" : "cpu.max");
}

/** Processor time of the container so far, ms; 0 when nobody counts. */
async function usedMs(cpu: CpuCgroup): Promise<number> {
  const file = cpu.version === 1 ? join(cpu.usageFolder, "cpuacct.usage") : join(cpu.folder, "cpu.stat");
  const text = await readFile(file, "utf8").catch(() => "");
  return cpu.version === 1 ? Number(text) / 1e6 : Number(/^usage_usec (\d+)$/m.exec(text)?.[1] ?? 0) / 1e3;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
