/**
 * The scenario of demo, bench and end-to-end tests: a Redis with data and an open-loop load is moved,
 * its dataset digested before and after, its client's view kept.
 */
import type { Lab } from "../lab/lab.js";
import { achievedShare, Load, type LoadOptions } from "./load.js";
import { type Event, type MigrateWords, migrateOrThrow, type Report } from "./migrate.js";
import { type MovedUnderLoad, moveUnderLoad } from "./move-under-load.js";
import { RedisContainer } from "./redis.js";
import { StockMove } from "./stock-move.js";
import { warmForMove } from "./warm.js";

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
  /** Memory touched beforehand, for the rounds and again for the pause, so that every strategy finds memory alike. */
  readonly warmMb: number;
  readonly say?: (line: string) => void;
}

export interface Moved extends MovedUnderLoad {
  readonly digestBefore: string;
  readonly digestAfter: string;
  /** Achieved over offered requests during the rounds. */
  readonly achievedInRounds: number;
  readonly tasksFrom: string;
  readonly tasksTo: string;
}

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
    const warm = await warmForMove(lab, options.warmMb);
    say(
      `load: ${options.load.rate} requests/s, ${Math.round(options.load.reads * 100)} % GET, ${options.load.connections} connections`,
    );
    const moved = await moveUnderLoad(lab, options, Load.start(lab, redis, options.load), move, warm);
    const digestAfter = await redis.digest();
    return {
      ...moved,
      digestBefore,
      digestAfter,
      achievedInRounds: achievedShare(moved.load, moved.roundsFrom, moved.switchoverAt),
      tasksFrom: (await lab.exec(options.from, ["ctr", "task", "ls"])).stdout.trimEnd(),
      tasksTo: (await lab.exec(options.to, ["ctr", "task", "ls"])).stdout.trimEnd(),
    };
  } finally {
    await stock?.remove().catch(() => undefined);
    await redis.remove(options.from).catch(() => undefined);
    await redis.remove(options.to).catch(() => undefined);
  }
}
