/**
 * What the downtime bench is to show, and whether it does. A goal whose cases a run has not made is left out.
 */
import { table } from "../../runtime/cli/report.js";
import type { Strategy, Workload } from "./plan.js";
import { median, type Row } from "./summary.js";

interface Goal {
  readonly what: string;
  readonly unit: "x" | "%" | "ms";
  /** At least, for what shall be much; at most, for what shall be little. */
  readonly wanted: { readonly atLeast: number } | { readonly atMost: number };
  /** NaN when the rows do not tell. */
  measured(rows: readonly Row[]): number;
}

interface Place {
  readonly workload: Workload;
  readonly memoryMb: number;
  readonly linkMbit: number;
}

const BIG = 2048;
const GBIT = 1000;
const SMALL: Place = { workload: "idle", memoryMb: 8, linkMbit: 10 * GBIT };

function medianOf(
  rows: readonly Row[],
  place: Place,
  strategy: Strategy,
  pick: (row: Row) => number,
): number {
  const found = rows.filter(
    (row) =>
      row.workload === place.workload &&
      row.memory_mb === place.memoryMb &&
      row.link_mbit === place.linkMbit &&
      row.strategy === strategy,
  );
  return median(found.map(pick));
}

const gap = (row: Row): number => row.client_gap_ms;

function gapBelow(strategy: Strategy, place: Place, atLeast: number): Goal {
  const { workload, memoryMb, linkMbit } = place;
  return {
    what: `${workload}, ${memoryMb} MB, ${linkMbit / GBIT} Gbit/s: gap below that of ${strategy}`,
    unit: "x",
    wanted: { atLeast },
    measured: (rows) => medianOf(rows, place, strategy, gap) / medianOf(rows, place, "pipelined", gap),
  };
}

/** Of what precopy needs. */
function noMoreThanPrecopy(what: string, atMost: number, pick: (row: Row) => number): Goal {
  const place: Place = { workload: "read-heavy", memoryMb: BIG, linkMbit: 10 * GBIT };
  return {
    what: `${what}, beside precopy's`,
    unit: "x",
    wanted: { atMost },
    measured: (rows) => medianOf(rows, place, "pipelined", pick) / medianOf(rows, place, "precopy", pick),
  };
}

function ofReadHeavy(
  what: string,
  unit: Goal["unit"],
  wanted: Goal["wanted"],
  pick: (row: Row) => number,
  linkMbit = 10 * GBIT,
): Goal {
  const place: Place = { workload: "read-heavy", memoryMb: BIG, linkMbit };
  return { what, unit, wanted, measured: (rows) => medianOf(rows, place, "pipelined", pick) };
}

const big = (workload: Workload, gbit: number): Place => ({
  workload,
  memoryMb: BIG,
  linkMbit: gbit * GBIT,
});

/** How long the bytes that travelled take at the link's rate: clients go on being answered over the same link. */
function lineMs(row: Row): number {
  return (row.link_bytes * 8) / (row.link_mbit * 1000);
}

export const GOALS: readonly Goal[] = [
  gapBelow("stock", SMALL, 4),
  gapBelow("precopy", big("read-heavy", 10), 5.4),
  gapBelow("precopy", big("write-heavy", 10), 3),
  gapBelow("precopy", big("read-heavy", 1), 2.7),
  gapBelow("precopy", big("write-heavy", 1), 1.5),
  {
    what: "read-heavy, 10 Gbit/s: gap with 3 GB, beside that with 256 MB",
    unit: "x",
    wanted: { atMost: 1.1 },
    measured: (rows) =>
      medianOf(rows, { ...big("read-heavy", 10), memoryMb: 3072 }, "pipelined", gap) /
      medianOf(rows, { ...big("read-heavy", 10), memoryMb: 256 }, "pipelined", gap),
  },
  ofReadHeavy(
    "total time at 1 Gbit/s, beside that of all bytes on the link alone",
    "x",
    { atMost: 1.1 },
    (row) => row.total_ms / lineMs(row),
    GBIT,
  ),
  ofReadHeavy(
    "achieved of the offered rate in the rounds",
    "%",
    { atLeast: 98 },
    (row) => 100 * row.achieved_share,
  ),
  ofReadHeavy(
    "p99 latency in the rounds, beside before",
    "x",
    { atMost: 2 },
    (row) => row.p99_rounds_ms / row.p99_before_ms,
  ),
  ofReadHeavy("back to that after the switchover within", "ms", { atMost: 200 }, (row) => row.recovery_ms),
  noMoreThanPrecopy("processor time at the source", 1.15, (row) => row.source_cpu_ms),
  noMoreThanPrecopy("peak of memory at the destination", 1.25, (row) => row.destination_peak_bytes),
];

function isReached({ wanted }: Goal, value: number): boolean {
  return "atLeast" in wanted ? value >= wanted.atLeast : value <= wanted.atMost;
}

/** A line for each goal that the rows tell of. */
export function judged(rows: readonly Row[]): string {
  const lines = [["goal", "wanted", "measured", ""]];
  for (const goal of GOALS) {
    const value = goal.measured(rows);
    if (!Number.isFinite(value)) continue;
    const show = (number: number): string =>
      goal.unit === "x"
        ? `${number.toFixed(2)}x`
        : `${number.toFixed(goal.unit === "%" ? 1 : 0)} ${goal.unit}`;
    const wanted =
      "atLeast" in goal.wanted ? `≥ ${show(goal.wanted.atLeast)}` : `≤ ${show(goal.wanted.atMost)}`;
    lines.push([goal.what, wanted, show(value), isReached(goal, value) ? "reached" : "missed"]);
  }
  return lines.length > 1 ? table(lines) : "";
}
