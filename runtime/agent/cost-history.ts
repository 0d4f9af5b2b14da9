/**
 * What the last switchovers of this host cost: the next one's downtime is predicted from them. Only a help: what cannot be read
 * is forgotten, what cannot be written is not kept.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../durable.js";
import { type PastSwitchover, STAGES } from "../migration/convergence/costs.js";
import { hostName } from "./config.js";
import { strategyName } from "./manifest.js";

const KEPT = 40;
const MAX_BYTES = 256 * 1024;

const count = z
  .number()
  .min(0)
  .max(2 ** 53);
/** An hour is more than any switchover takes. */
const ms = z.number().min(0).max(3_600_000);

const past = z.object({
  peer: hostName,
  strategy: strategyName,
  weight: z.object({
    processes: count,
    mappings: count,
    pageTableBytes: count,
    skeletonBytes: count,
    memoryBytes: count,
    roundTripMs: ms,
  }),
  costs: z.record(z.enum(STAGES), ms),
});
const file = z.object({ version: z.literal(1), switchovers: z.array(past).max(KEPT) });

export class CostHistory {
  readonly #path: string;
  #adding: Promise<void> = Promise.resolve();

  constructor(stateDir: string) {
    this.#path = join(stateDir, "costs.json");
  }

  /** The newest last. Never rejects. */
  async read(): Promise<readonly PastSwitchover[]> {
    const text = await readFile(this.#path, "utf8").catch(() => "");
    if (text === "" || text.length > MAX_BYTES) return [];
    try {
      return file.parse(JSON.parse(text)).switchovers;
    } catch {
      return [];
    }
  }

  /** @throws when it cannot be written */
  add(one: PastSwitchover): Promise<void> {
    const added = this.#adding.then(async () => {
      const switchovers = [...(await this.read()), past.parse(one)].slice(-KEPT);
      await writeDurably(this.#path, `${JSON.stringify({ version: 1, switchovers })}\n`);
    });
    this.#adding = added.catch(() => undefined);
    return added;
  }
}
