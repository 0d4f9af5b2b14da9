/** The pause of a trace as an SVG: one row for each component, time from left to right. */
import { readFileSync, writeFileSync } from "node:fs";
import { pauseMs, readTrace, type TraceSpan } from "../lib/trace.js";

const WIDTH = 1000;
const LEFT = 190;
const TOP = 54;
const LANE = 20;
const SHOWN_BEFORE_US = 5000;
/** Shorter ones cannot be seen. */
const LEAST_WIDTH = 0.6;
/** A letter takes about that much. */
const LETTER = 5.6;
const COLOURS = ["#1f7a4d", "#6b8fb3", "#c58b2a", "#8a6fb0", "#b35c5c", "#5c8f8a", "#9aa5b1"];

interface Row {
  readonly name: string;
  readonly lanes: readonly (readonly TraceSpan[])[];
}

/** Spans within spans get lanes of their own, so that each can be read. */
function rowsOf(spans: readonly TraceSpan[]): Row[] {
  const byRow = new Map<string, TraceSpan[]>();
  for (const span of spans) byRow.set(span.row, [...(byRow.get(span.row) ?? []), span]);
  return [...byRow]
    .sort(([, a], [, b]) => (a[0]?.pid ?? 0) - (b[0]?.pid ?? 0))
    .map(([name, all]) => {
      const lanes: TraceSpan[][] = [];
      for (const span of [...all].sort((a, b) => a.from - b.from || b.to - a.to)) {
        const free = lanes.find((lane) => (lane.at(-1)?.to ?? 0) <= span.from);
        if (free) free.push(span);
        else lanes.push([span]);
      }
      return { name, lanes };
    });
}

const xml = (text: string) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;");

/** @returns the SVG document */
export function tracePicture(text: string): string {
  const { spans, pause } = readTrace(text);
  const from = pause.from - SHOWN_BEFORE_US;
  const to = pause.to + SHOWN_BEFORE_US;
  const shown = spans.filter((span) => span.to > from && span.from < to && !span.row.endsWith(": runC"));
  const x = (us: number) =>
    LEFT + ((Math.min(to, Math.max(from, us)) - from) / (to - from)) * (WIDTH - LEFT - 12);
  const parts: string[] = [];
  let y = TOP;
  for (const [i, row] of rowsOf(shown).entries()) {
    parts.push(`<text x="8" y="${y + 14}" font-weight="600">${xml(row.name)}</text>`);
    for (const lane of row.lanes) {
      for (const span of lane) {
        const [left, right] = [x(span.from), x(span.to)];
        if (right - left < LEAST_WIDTH) continue;
        const title = `${span.name}: ${((span.to - span.from) / 1000).toFixed(1)} ms`;
        parts.push(
          `<rect x="${left.toFixed(1)}" y="${y}" width="${(right - left).toFixed(1)}" height="${LANE - 3}" rx="2" fill="${COLOURS[i % COLOURS.length]}"><title>${xml(title)}</title></rect>`,
        );
        const room = Math.floor((right - left - 6) / LETTER);
        if (room > 3)
          parts.push(
            `<text x="${(left + 3).toFixed(1)}" y="${y + 12}" font-size="10" fill="white">${xml(title.slice(0, room))}</text>`,
          );
      }
      y += LANE;
    }
    y += 6;
  }
  const lines = [pause.from, pause.to].map(
    (us) =>
      `<line x1="${x(us).toFixed(1)}" x2="${x(us).toFixed(1)}" y1="36" y2="${y}" stroke="#222" stroke-dasharray="3 3"/>`,
  );
  const ms = pauseMs({ pause }).toFixed(0);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 8}" viewBox="0 0 ${WIDTH} ${y + 8}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="white"/>`,
    `<text x="8" y="22" font-size="15" font-weight="700">One pause: ${ms} ms from the freeze to running</text>`,
    ...lines,
    ...parts,
    "</svg>\n",
  ].join("\n");
}

/** @param trace the file of `pclive migrate --trace` */
export function drawTrace(trace: string, svg: string): void {
  writeFileSync(svg, tracePicture(readFileSync(trace, "utf8")));
}
