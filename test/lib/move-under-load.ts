/**
 * A move that is measured: load before, during and after it, what it cost both hosts, and when its phases began.
 */
import type { Lab } from "../lab/lab.js";
import { HostUsage, type Usage } from "./host-usage.js";
import type { LoadReport } from "./load.js";
import type { Event, Report } from "./migrate.js";
import type { MoveWarmth } from "./warm.js";

export interface MovedUnderLoad {
  readonly report: Report;
  readonly load: LoadReport;
  /** Milliseconds since 1970; 0: there was none. */
  readonly roundsFrom: number;
  readonly switchoverAt: number;
  /** Of the two hosts, from the command to its end. */
  readonly usage: { readonly from: Usage; readonly to: Usage };
}

export interface Route {
  readonly from: string;
  readonly to: string;
  /** Load before the migration begins and after it ended. */
  readonly settleMs: number;
}

/** Load that is there already. */
export interface OngoingLoad {
  /** Ends it and reads what it measured. */
  stop(lab: Lab): Promise<LoadReport>;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * @param move is called once; @param warm is for the move, and is freed in any case, but not before the load has ended: to free gigabytes keeps a processor busy
 * @throws when the move fails; the load has ended then too
 */
export async function moveUnderLoad(
  lab: Lab,
  route: Route,
  load: OngoingLoad,
  move: (onEvent: (event: Event) => void) => Promise<Report>,
  warm: MoveWarmth,
): Promise<MovedUnderLoad> {
  let roundsFrom = 0;
  let switchoverAt = 0;
  let measured: Pick<MovedUnderLoad, "report" | "usage">;
  let loadReport: LoadReport | undefined;
  try {
    await sleep(route.settleMs);
    const [from, to] = await Promise.all([HostUsage.begin(lab, route.from), HostUsage.begin(lab, route.to)]);
    await warm.rounds.give();
    const report = await move((event) => {
      if (event.phase?.name === "round" && roundsFrom === 0) roundsFrom = event.at ?? 0;
      if (event.phase?.name === "switchover") {
        switchoverAt = event.at ?? 0;
        void warm.pause.give();
      }
    });
    measured = { report, usage: { from: await from.end(), to: await to.end() } };
    await sleep(route.settleMs);
  } finally {
    try {
      loadReport = await load.stop(lab);
    } finally {
      await free(warm);
    }
  }
  return { ...measured, load: loadReport, roundsFrom, switchoverAt };
}

async function free({ rounds, pause }: MoveWarmth): Promise<void> {
  await Promise.all([rounds.free(), pause.free()]);
}
