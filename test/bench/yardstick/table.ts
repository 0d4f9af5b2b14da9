/** What the yardstick measured, as a table. */
import { table } from "../../../runtime/cli/report.js";
import { median, spread } from "../summary.js";

/** Who moves the Redis; of the last two nothing but the processor differs. */
export const WAYS = {
  qemu: "qemu: the whole guest",
  pclive: "pclive: the container between two guests",
  bare: "pclive: the container between two hosts of the lab",
};
export type Way = keyof typeof WAYS;

/** One move; milliseconds and bytes. */
export interface YardstickRow {
  readonly way: Way;
  /** Of the guests; "none": there was no guest. */
  readonly accelerator: string;
  readonly memory_mb: number;
  readonly guest_mb: number;
  readonly rate: number;
  readonly repetition: number;
  readonly client_gap_ms: number;
  /** As QEMU or our command reports it. */
  readonly downtime_ms: number;
  readonly total_ms: number;
  readonly sent_bytes: number;
  readonly rounds: number;
  readonly requests_lost: number;
  readonly connections_broken: number;
  readonly data_right: boolean;
}

const COLUMNS: readonly [string, (row: YardstickRow) => number][] = [
  ["client gap ms", (row) => row.client_gap_ms],
  ["downtime ms", (row) => row.downtime_ms],
  ["total ms", (row) => row.total_ms],
  ["sent MB", (row) => row.sent_bytes / 1e6],
];

/** Medians and spreads of each way, and how many times as much QEMU takes. */
export function tableOf(rows: readonly YardstickRow[]): string {
  const of = (way: Way): YardstickRow[] => rows.filter((row) => row.way === way);
  const ratio = (way: Way, pick: (row: YardstickRow) => number): string =>
    ratioOf(median(of("qemu").map(pick)) / median(of(way).map(pick)));
  const lines = [["moved by", "n", ...COLUMNS.map(([name]) => name)]];
  for (const way of Object.keys(WAYS) as Way[]) {
    const count = of(way).length;
    if (count === 0) continue;
    lines.push([WAYS[way], String(count), ...COLUMNS.map(([, pick]) => spread(of(way).map(pick)))]);
    if (way !== "qemu" && of("qemu").length > 0)
      lines.push(["  qemu : pclive", "", ...COLUMNS.map(([, pick]) => ratio(way, pick))]);
  }
  return table(lines);
}

function ratioOf(value: number): string {
  return `${value < 1 ? value.toPrecision(2) : value.toFixed(1)}x`;
}
