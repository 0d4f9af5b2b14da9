/**
 * The scenario of demo, bench and end-to-end tests: a Redis with data and an open-loop load is moved,
 * its dataset digested before and after, its client's view kept.
 */
import type { Lab } from "../lab/lab.js";
import { HostUsage, type Usage } from "./host-usage.js";
import { achievedShare, Load, type LoadOptions, type LoadReport } from "./load.js";
import { type Event, type MigrateWords, migrateOrThrow, type Report } from "./migrate.js";
import { RedisContainer } from "./redis.js";
import { StockMove } from "./stock-move.js";
import { warmMemory } from "./warm.js";

export interface MoveOptions {
  readonly id: string;
  readonly address: string;
  readonly from: string;
  readonly to: string;
  readonly memoryMb: number;
  readonly valueBytes: number;
  readonly load: LoadOptions;
  /** How; "stock": without us, by runC and stock CRIU. */
  readonly migrate: MigrateWords | "stock";
  /** Load before the migration begins and after it ended. */
  readonly settleMs: number;
  /** Memory touched beforehand and freed at the switchover, so that every strategy finds memory alike. */
  readonly warmMb: number;
  readonly say?: (line: string) => void;
}

export interface Moved {
  readonly report: Report;
  readonly load: LoadReport;
  readonly digestBefore: string;
  readonly digestAfter: string;
  /** Achieved over offered requests during the rounds. */
  readonly achievedInRounds: number;
  /** Milliseconds since 1970. */
  readonly roundsFrom: number;
  readonly switchoverAt: number;
  /** Of the two hosts, from the command to its end. */
  readonly usage: { readonly from: Usage; readonly to: Usage };
  readonly tasksFrom: string;
  readonly tasksTo: string;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Moves a fresh Redis under load and takes everything away again. @throws when the migration fails */
export async function moveRedis(lab: Lab, options: MoveOptions): Promise<Moved> {
  const say = options.say ?? ((): void => undefined);
  const redis = await RedisContainer.start(lab, options.from, options);
  let stock: StockMove | undefined;
  try {
    say(`filling ${redis.keys} keys of ${options.valueBytes} bytes`);
    await redis.populate();
    const digestBefore = await redis.digest();
    const { from: source, to: destination, migrate } = options;
    if (migrate === "stock") stock = await StockMove.prepare(lab, redis, source, destination);
    const move = (onEvent: (event: Event) => void): Promise<Report> =>
      migrate === "stock" && stock
        ? stock.run(onEvent)
        : migrateOrThrow(lab, source, options.id, destination, migrate as MigrateWords, onEvent);
    const freeWarm = await warmMemory(lab, options.warmMb);
    say(
      `load: ${options.load.rate} requests/s, ${Math.round(options.load.reads * 100)} % GET, ${options.load.connections} connections`,
    );
    const load = Load.start(lab, redis, options.load);
    let loadReport: LoadReport | undefined;
    let roundsFrom = 0;
    let switchoverAt = 0;
    let report: Report;
    let usage: Moved["usage"];
    try {
      await sleep(options.settleMs);
      const [from, to] = await Promise.all([
        HostUsage.begin(lab, options.from),
        HostUsage.begin(lab, options.to),
      ]);
      report = await move((event) => {
        if (event.phase?.name === "round" && roundsFrom === 0) roundsFrom = event.at ?? 0;
        if (event.phase?.name === "switchover") {
          switchoverAt = event.at ?? 0;
          void freeWarm();
        }
      });
      usage = { from: await from.end(), to: await to.end() };
      await sleep(options.settleMs);
    } finally {
      await freeWarm();
      loadReport = await load.stop(lab);
    }
    const digestAfter = await redis.digest();
    return {
      report,
      load: loadReport,
      digestBefore,
      digestAfter,
      ...{ roundsFrom, switchoverAt, usage },
      achievedInRounds: achievedShare(loadReport, roundsFrom, switchoverAt),
      tasksFrom: (await lab.exec(options.from, ["ctr", "task", "ls"])).stdout.trimEnd(),
      tasksTo: (await lab.exec(options.to, ["ctr", "task", "ls"])).stdout.trimEnd(),
    };
  } finally {
    await stock?.remove().catch(() => undefined);
    await redis.remove(options.from).catch(() => undefined);
    await redis.remove(options.to).catch(() => undefined);
  }
}
