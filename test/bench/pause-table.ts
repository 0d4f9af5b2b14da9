/**
 * What each part of the pause takes, from the traces of several moves: a table for docs/downtime.md.
 */
import { pauseMs, type ReadTrace } from "../lib/trace.js";
import { markdownTable } from "./evaluation/tables.js";
import { groupBy, median } from "./summary.js";

interface Part {
  /** "a (source): CRIU" without the host. */
  readonly row: string;
  readonly name: string;
  /** Of the middle one, from the freeze. */
  readonly fromMs: number;
  readonly ms: readonly number[];
}

const BEGIN = "<!-- npm run bench -- pause: begin -->";
const END = "<!-- end -->";

/** The chain itself, and who is at work in it in detail. */
const CHAIN = "source: pause";
const DETAILED = /^(source|destination): (CRIU|overlay)$/;

function partsOf(traces: readonly ReadTrace[]): Part[] {
  const all = traces.flatMap(({ spans, pause }) =>
    spans
      .filter((span) => span.from < pause.to && span.to > pause.from)
      .map((span) => ({
        row: span.row.replace(/^.*\((\w+)\): /, "$1: "),
        name: span.name,
        fromMs: (span.from - pause.from) / 1000,
        ms: (span.to - span.from) / 1000,
      })),
  );
  return [...groupBy(all, ({ row, name }) => `${row}|${name}`).values()]
    .map((same) => ({
      row: same[0]?.row ?? "",
      name: same[0]?.name ?? "",
      fromMs: median(same.map(({ fromMs }) => fromMs)),
      ms: same.map(({ ms }) => ms),
    }))
    .sort((a, b) => a.fromMs - b.fromMs);
}

function line({ row, name, fromMs, ms }: Part): string[] {
  const show = (value: number): string => value.toFixed(1);
  const range = `${show(Math.min(...ms))}–${show(Math.max(...ms))}`;
  return [row, name, show(fromMs), show(median(ms)), range];
}

/** Two tables in Markdown: the chain, and CRIU within it. Milliseconds, medians. */
export function pauseTables(traces: readonly ReadTrace[]): string {
  const parts = partsOf(traces);
  const head = ["who", "what", "begins at", "takes", "least–most"];
  const chain = parts.filter(({ row }) => row === CHAIN).map(line);
  chain.push(line({ row: "", name: "**the pause**", fromMs: 0, ms: traces.map(pauseMs) }));
  const details = parts.filter(({ row, ms }) => DETAILED.test(row) && median(ms) >= 0.1).map(line);
  return `${markdownTable([head, ...chain])}\n\n${markdownTable([head, ...details])}`;
}

/** The trace whose pause is the middle one. */
export function typical<T extends ReadTrace>(traces: readonly T[]): T | undefined {
  return [...traces].sort((a, b) => pauseMs(a) - pauseMs(b))[traces.length >> 1];
}

/** @returns `page` with what stands between the marks replaced @throws when it has no marks */
export function updated(page: string, text: string): string {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`the page has no place for the figures: ${BEGIN} … ${END}`);
  return `${page.slice(0, from + BEGIN.length)}\n${text}\n${page.slice(to)}`;
}
