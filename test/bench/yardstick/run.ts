/**
 * The yardstick: a Redis under load is moved with its whole guest, by QEMU's own live migration, and then by itself, by us, to
 * another guest; and one like it between two hosts of the lab, for what the emulation of the guests' processors takes from us.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Lab } from "../../lab/lab.js";
import { Load, type LoadReport } from "../../lib/load.js";
import { migrateOrThrow, type Report } from "../../lib/migrate.js";
import { RedisContainer } from "../../lib/redis.js";
import { moveGuest, rehearse } from "./guest-move.js";
import { type Accelerator, Guests } from "./guests.js";
import { tableOf, type Way, type YardstickRow } from "./table.js";

export interface YardstickOptions {
  readonly json: string;
  readonly memoryMb: number;
  readonly repetitions: number;
  /** Offered requests per second. */
  readonly rate: number;
  readonly accelerator: Accelerator;
}

const VALUE_BYTES = 4096;
const CLIENTS = { reads: 0.5, connections: 4 };
/** A guest's memory beside the data: its system and daemons, and what a restore needs for a moment. */
const SYSTEM_MB = 640;
const SETTLE_MS = 2000;
const MIGRATE_FOR = "240s";
/** What QEMU is limited to as well. */
const LINK_MBIT = 10_000;
const SIGNALS = ["SIGINT", "SIGTERM"] as const;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

type Move = () => Promise<Report>;
type Moves = Partial<Record<Way, Move>>;

/** @returns the exit code */
export async function yardstick(options: YardstickOptions): Promise<number> {
  const rows: YardstickRow[] = [];
  const complaints: string[] = [];
  const attempt = async (
    lab: Lab,
    repetition: number,
    moves: Moves,
    prepare = async (): Promise<void> => undefined,
  ): Promise<void> => {
    try {
      for await (const row of measure(lab, repetition, moves, prepare, options)) {
        rows.push(row);
        writeFileSync(options.json, `${JSON.stringify(rows, null, 1)}\n`);
        complaints.push(...complaintsOf(row));
      }
    } catch (error) {
      complaints.push(`#${repetition}: ${(error as Error).message}`);
    }
  };
  const repetitions = Array.from({ length: options.repetitions }, (_, i) => i + 1);
  mkdirSync(dirname(options.json), { recursive: true });
  await withGuests(options, async (guests) => {
    for (const repetition of repetitions)
      await attempt(
        guests.lab,
        repetition,
        { qemu: () => moveGuest(guests, "a"), pclive: () => migrateRedis(guests.lab, repetition) },
        () => rehearse(guests, "a"),
      );
  });
  const lab = await Lab.up();
  await lab.shape(LINK_MBIT);
  for (const repetition of repetitions)
    await attempt(lab, repetition, { bare: () => migrateRedis(lab, repetition) });
  await lab.shape("off");
  say(`\n${tableOf(rows)}\n\n${options.json}: ${rows.length} moves`);
  for (const line of complaints) say(`PROBLEM ${line}`);
  return complaints.length === 0 ? 0 : 1;
}

async function withGuests(options: YardstickOptions, work: (guests: Guests) => Promise<void>): Promise<void> {
  const memoryMb = options.memoryMb + SYSTEM_MB;
  const guests = new Guests(memoryMb, options.accelerator);
  const leave = (): void => void guests.down().finally(() => process.exit(130));
  for (const signal of SIGNALS) process.once(signal, leave);
  try {
    say(`starting two guests of ${memoryMb} MB (${options.accelerator})`);
    await guests.up();
    await work(guests);
  } finally {
    await guests.down();
    for (const signal of SIGNALS) process.off(signal, leave);
  }
}

const nameOf = (repetition: number): string => `yardstick${repetition}`;

function migrateRedis(lab: Lab, repetition: number): Promise<Report> {
  return migrateOrThrow(lab, "a", nameOf(repetition), "b", { timeout: MIGRATE_FOR });
}

/** One Redis, moved in each way, one after the other. */
async function* measure(
  lab: Lab,
  repetition: number,
  moves: Moves,
  prepare: () => Promise<void>,
  { memoryMb, rate, accelerator }: YardstickOptions,
): AsyncGenerator<YardstickRow> {
  const redis = await RedisContainer.start(lab, "a", {
    id: nameOf(repetition),
    address: `10.10.30.${repetition}`,
    memoryMb,
    valueBytes: VALUE_BYTES,
  });
  try {
    await redis.populate();
    const digest = await redis.digest();
    await prepare();
    for (const [way, move] of Object.entries(moves) as [Way, Move][]) {
      const { report, load } = await underLoad(lab, Load.start(lab, redis, { rate, ...CLIENTS }), move);
      say(`${way} #${repetition}: client gap ${load.client_gap_ms.toFixed(0)} ms`);
      yield {
        way,
        accelerator: way === "bare" ? "none" : accelerator,
        memory_mb: memoryMb,
        guest_mb: way === "bare" ? 0 : memoryMb + SYSTEM_MB,
        rate,
        repetition,
        client_gap_ms: load.client_gap_ms,
        downtime_ms: report.downtimeMs ?? 0,
        total_ms: report.totalMs ?? 0,
        sent_bytes: Number(report.wireBytes ?? 0),
        rounds: report.rounds?.length ?? 0,
        requests_lost: load.lost,
        connections_broken: load.broken_connections,
        data_right: load.wrong + load.errors === 0 && (await redis.digest()) === digest,
      };
    }
  } finally {
    await redis.remove("a").catch(() => undefined);
    await redis.remove("b").catch(() => undefined);
  }
}

function complaintsOf(row: YardstickRow): string[] {
  const { requests_lost: lost, connections_broken: broken, data_right: right } = row;
  if (lost === 0 && broken === 0 && right) return [];
  return [
    `${row.way} #${row.repetition}: ${lost} requests lost, ${broken} connections broken, data right: ${right}`,
  ];
}

/** Load before, during and after the move. */
async function underLoad(lab: Lab, load: Load, move: Move): Promise<{ report: Report; load: LoadReport }> {
  let ended: Promise<LoadReport> | undefined;
  try {
    await sleep(SETTLE_MS);
    const report = await move();
    await sleep(SETTLE_MS);
    ended = load.stop(lab);
    return { report, load: await ended };
  } finally {
    if (ended === undefined) await load.stop(lab).catch(() => undefined);
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
