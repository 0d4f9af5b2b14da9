/**
 * `pclive migrate` on a host of the lab, as a user calls it, with its events read back.
 */
import { createInterface } from "node:readline";
import type { pclive } from "#protos/agent";
import type { Lab } from "../lab/lab.js";

export type Report = pclive.agent.v1.IReport;
export type Event = pclive.agent.v1.IMigrateEvent;

export interface Migration {
  readonly exitCode: number;
  readonly events: readonly Event[];
  readonly report: Report | undefined;
  readonly failure: pclive.agent.v1.IFailure | undefined;
  readonly stderr: string;
}

export interface MigrateWords {
  readonly strategy?: string;
  readonly downtime?: string;
  readonly maxRounds?: number;
  readonly timeout?: string;
  readonly tracker?: string;
  readonly autoConverge?: boolean;
  readonly notConverging?: string;
  readonly bandwidth?: string;
  /** A file on the source. */
  readonly trace?: string;
  readonly stageAfter?: number;
  readonly cpu?: number;
  readonly headroom?: number;
  readonly streams?: number;
}

/**
 * Runs `pclive migrate ID TO --json` on host `from`.
 * @param onEvent sees every event as it comes
 */
export async function migrate(
  lab: Lab,
  from: string,
  id: string,
  to: string,
  words: MigrateWords = {},
  onEvent: (event: Event) => void = () => undefined,
): Promise<Migration> {
  const flags: string[] = [];
  if (words.strategy !== undefined) flags.push("--strategy", words.strategy);
  if (words.downtime !== undefined) flags.push("--downtime", words.downtime);
  if (words.maxRounds !== undefined) flags.push("--max-rounds", String(words.maxRounds));
  if (words.timeout !== undefined) flags.push("--timeout", words.timeout);
  if (words.tracker !== undefined) flags.push("--tracker", words.tracker);
  if (words.bandwidth !== undefined) flags.push("--bandwidth", words.bandwidth);
  if (words.headroom !== undefined) flags.push("--headroom", String(words.headroom));
  if (words.cpu !== undefined) flags.push("--cpu", String(words.cpu));
  if (words.streams !== undefined) flags.push("--streams", String(words.streams));
  if (words.stageAfter !== undefined) flags.push("--stage-after", String(words.stageAfter));
  if (words.notConverging !== undefined) flags.push("--not-converging", words.notConverging);
  if (words.trace !== undefined) flags.push("--trace", words.trace);
  if (words.autoConverge === true) flags.push("--auto-converge");
  const child = lab.spawn(from, ["pclive", "migrate", id, to, "--json", ...flags]);
  const events: Event[] = [];
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  if (child.stdout === null) throw new Error("the command has no output");
  const exit = new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1)));
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as Event;
    events.push(event);
    onEvent(event);
  }
  const exitCode = await exit;
  const last = events.at(-1);
  return { exitCode, events, report: last?.report ?? undefined, failure: last?.failure ?? undefined, stderr };
}

/** The same, for a migration that must succeed. @throws with the failure's own words */
export async function migrateOrThrow(...call: Parameters<typeof migrate>): Promise<Report> {
  const result = await migrate(...call);
  if (result.report === undefined || result.exitCode !== 0) {
    throw new Error(
      `migration failed (exit ${result.exitCode}): ${result.stderr.trim() || JSON.stringify(result.failure)}`,
    );
  }
  return result.report;
}
