/** The evaluation's table: a line for each setting and strategy. */
import { groupBy, median, spread } from "../summary.js";
import type { Moved } from "./outcome.js";
import { settingOf } from "./pictures.js";
import { STRATEGIES } from "./plan.js";

const COLUMNS: readonly (readonly [string, (group: readonly Moved[]) => string])[] = [
  ["n", (group) => String(group.length)],
  ["gap ms", (group) => spread(group.map((one) => one.gapMs))],
  ["downtime ms", (group) => spread(group.map((one) => one.downtimeMs))],
  ["restore ms", (group) => spread(group.map((one) => one.restoreMs))],
  ["total ms", (group) => spread(group.map((one) => one.totalMs))],
  ["rounds", (group) => spread(group.map((one) => one.rounds)).replace(/\.0/g, "")],
  ["sent MB", (group) => (median(group.map((one) => one.wireBytes)) / 1e6).toFixed(0)],
  ["before /s", (group) => rate(group.map((one) => one.throughput.before))],
  ["in rounds", (group) => share(group, (one) => one.throughput.during)],
  ["after", (group) => share(group, (one) => one.throughput.after)],
  ["p99 before ms", (group) => latency(group.map((one) => one.p99BeforeMs))],
  ["p99 rounds ms", (group) => latency(group.map((one) => one.p99DuringMs))],
  ["CPU source s", (group) => (median(group.map((one) => one.source.cpuMs)) / 1000).toFixed(1)],
  ["CPU dest. s", (group) => (median(group.map((one) => one.destination.cpuMs)) / 1000).toFixed(1)],
  ["peak dest. MB", (group) => (median(group.map((one) => one.destination.peakBytes)) / 1e6).toFixed(0)],
];

const NONE = "–";

function rate(values: readonly number[]): string {
  const middle = median(values);
  if (!Number.isFinite(middle)) return NONE;
  return middle >= 1e6 ? `${(middle / 1e6).toFixed(1)} M` : middle.toFixed(0);
}

/** Of what it was before. */
function share(group: readonly Moved[], pick: (one: Moved) => number | null): string {
  const shares = group.flatMap((one) => {
    const value = pick(one);
    return value === null ? [] : [(100 * value) / one.throughput.before];
  });
  const middle = median(shares);
  return Number.isFinite(middle) ? `${middle.toFixed(0)} %` : NONE;
}

function latency(values: readonly (number | null)[]): string {
  const known = values.filter((value) => value !== null);
  return known.length > 0 ? median(known).toFixed(1) : NONE;
}

/** The first line is the head. */
export function tableOf(moved: readonly Moved[]): string[][] {
  const settings = groupBy(moved, settingOf);
  const lines = [...settings].flatMap(([setting, all]) =>
    STRATEGIES.map((strategy) => all.filter((one) => one.strategy === strategy))
      .filter((group) => group.length > 0)
      .map((group) => [setting, group[0]?.strategy ?? "", ...COLUMNS.map(([, show]) => show(group))]),
  );
  return [["workload", "strategy", ...COLUMNS.map(([name]) => name)], ...lines];
}

export function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => (i < 2 ? "---" : "--:"))), ...rows.map(line)].join("\n");
}
