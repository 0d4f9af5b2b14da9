/** What the convergence policy makes of containers that write by a known law: a table, by simulation, in no time. */
import { table } from "../../runtime/cli/report.js";
import { formatBytes, formatMs } from "../../runtime/format.js";
import { simulate, type Writer } from "../../runtime/migration/convergence/simulate.js";
import { growing, MB, phased, steady } from "../unit/convergence/writers.js";

const COSTS = { stop: 8, snapshot: 4, dump: 30, send: 14, restore: 30, ready: 6, commit: 20 };
interface Case {
  readonly name: string;
  readonly writer: Writer;
  /** MB a second. */
  readonly link: number;
  readonly autoConverge?: boolean;
}

const BUSY = steady(1000 * MB, 800 * MB, 300 * MB);

const CASES: readonly Case[] = [
  { name: "1 GB, idle", writer: steady(1000 * MB, MB, 0), link: 117 },
  { name: "2 GB, 60 MB/s to half of it", writer: steady(2000 * MB, 1000 * MB, 60 * MB), link: 117 },
  { name: "1 GB, 300 MB/s to 800 MB", writer: BUSY, link: 117 },
  { name: "the same, --auto-converge", writer: BUSY, link: 117, autoConverge: true },
  {
    name: "200 MB/s, 100 more each second",
    writer: growing(1000 * MB, 900 * MB, 200 * MB, 100 * MB),
    link: 117,
  },
  { name: "600 MB/s to 500 MB, always", writer: steady(1000 * MB, 500 * MB, 600 * MB), link: 300 },
  { name: "the same, quiet 2 s of 5", writer: phased(1000 * MB, 500 * MB, 600 * MB, 3000, 2000), link: 300 },
  { name: "500 MB/s in bursts of 0.3 s", writer: phased(1000 * MB, 200 * MB, 500 * MB, 300, 900), link: 400 },
];

export function convergenceTable(): string {
  const rows = CASES.map(({ name, writer, link, autoConverge = false }) => {
    const options = {
      targetMs: 150,
      maxRounds: 100,
      maxMs: 300_000,
      bandwidth: 0,
      autoConverge,
      stageAfter: 0,
    };
    const outcome = simulate(writer, { throughput: link * MB, costs: COSTS }, options);
    return [
      name,
      `${link} MB/s`,
      String(outcome.rounds),
      formatMs(outcome.totalMs),
      formatBytes(outcome.sentBytes),
      outcome.decision.reason,
      formatMs(outcome.predicted.downtimeMs),
      formatMs(outcome.downtimeMs),
    ];
  });
  return table([
    ["1 GB, --downtime 150ms", "link", "rounds", "time", "sent", "end", "predicted", "downtime"],
    ...rows,
  ]);
}
