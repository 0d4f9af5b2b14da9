import type { LogLine } from "./log.js";

interface Interval {
  readonly from: number;
  readonly to: number;
}

/**
 * How long a stock-like restore was busy with bringing memory contents into place, in milliseconds, from CRIU's
 * restore.log. Two stretches per task: reading pages into premapped areas (from opening the page images to the count
 * of what was restored) and the restorer's own `preadv` (from the call to its return). Tasks restore at the same
 * time: what overlaps counts once.
 */
export function memoryRestoreMs(lines: readonly LogLine[]): number {
  const open = new Map<string, number>();
  const intervals: Interval[] = [];
  for (const { task, text, at } of lines) {
    const [kind, edge] = edgeOf(text);
    if (edge === undefined) continue;
    const key = `${task}/${kind}`;
    if (edge === "begin") {
      if (!open.has(key)) open.set(key, at);
      continue;
    }
    const from = open.get(key);
    open.delete(key);
    if (from !== undefined) intervals.push({ from, to: at });
  }
  return unionLength(intervals);
}

function edgeOf(
  text: string,
): readonly ["premap" | "preadv", "begin" | "end"] | readonly [undefined, undefined] {
  if (/^Opened (local|parent|remote)?\s*page read/.test(text)) return ["premap", "begin"];
  if (/^nr_restored_pages:/.test(text)) return ["premap", "end"];
  if (/^Preadv /.test(text)) return ["preadv", "begin"];
  if (/^`- returned /.test(text)) return ["preadv", "end"];
  return [undefined, undefined];
}

function unionLength(intervals: Interval[]): number {
  let sum = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const { from, to } of intervals.sort((a, b) => a.from - b.from)) {
    sum += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return sum;
}
