/**
 * The client's gap of each strategy as a bar chart, one SVG without a library: a bar for the median, a line for the spread.
 */
import { median, type Row } from "./summary.js";

const WIDTH = 720;
const BAR_HEIGHT = 26;
const ROW_HEIGHT = 40;
const LEFT = 250;
const TOP = 48;
const COLOURS: Record<string, string> = {
  stock: "#b8bfc7",
  "stop-and-copy": "#9aa5b1",
  precopy: "#6b8fb3",
  pipelined: "#1f7a4d",
};

interface Bar {
  readonly label: string;
  readonly strategy: string;
  readonly gaps: readonly number[];
}

function bars(rows: readonly Row[]): Bar[] {
  const found = new Map<string, Bar>();
  for (const row of rows) {
    const label = `${row.memory_mb} MB, ${row.workload}, ${row.link_mbit / 1000} Gbit/s`;
    const key = `${label}|${row.strategy}`;
    const gaps = [...(found.get(key)?.gaps ?? []), row.client_gap_ms];
    found.set(key, { label, strategy: row.strategy, gaps });
  }
  return [...found.values()].sort(
    (a, b) => a.label.localeCompare(b.label) || median(b.gaps) - median(a.gaps),
  );
}

function barSvg(bar: Bar, index: number, scale: number): string {
  const y = TOP + index * ROW_HEIGHT;
  const end = LEFT + median(bar.gaps) * scale;
  const [low, high] = [Math.min(...bar.gaps), Math.max(...bar.gaps)].map((gap) => LEFT + gap * scale);
  const middle = y + BAR_HEIGHT / 2;
  return [
    `<text x="${LEFT - 10}" y="${middle - 2}" text-anchor="end" font-weight="600">${bar.strategy}</text>`,
    `<text x="${LEFT - 10}" y="${middle + 12}" text-anchor="end" font-size="10" fill="#666">${bar.label}</text>`,
    `<rect x="${LEFT}" y="${y}" width="${(end - LEFT).toFixed(1)}" height="${BAR_HEIGHT}" rx="3" fill="${COLOURS[bar.strategy] ?? "#888"}"/>`,
    `<line x1="${low?.toFixed(1)}" x2="${high?.toFixed(1)}" y1="${middle}" y2="${middle}" stroke="#222" stroke-width="1.5"/>`,
    `<text x="${Math.max(end, high ?? 0) + 8}" y="${middle + 5}" font-weight="600">${Math.round(median(bar.gaps))} ms</text>`,
  ].join("\n");
}

/** @returns the SVG document */
export function picture(rows: readonly Row[]): string {
  const all = bars(rows);
  const longest = Math.max(1, ...all.flatMap((bar) => bar.gaps));
  const scale = (WIDTH - LEFT - 90) / longest;
  const height = TOP + all.length * ROW_HEIGHT + 12;
  const most = Math.max(0, ...all.map((bar) => bar.gaps.length));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="13">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="16" y="26" font-size="15" font-weight="700">Gap seen by the clients of a Redis that moves, under load</text>`,
    `<text x="${WIDTH - 16}" y="26" text-anchor="end" font-size="10" fill="#666">median of ${most}, line: lowest to highest</text>`,
    ...all.map((bar, index) => barSvg(bar, index, scale)),
    "</svg>\n",
  ].join("\n");
}
