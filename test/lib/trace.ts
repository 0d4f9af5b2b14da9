/** A trace of `pclive migrate --trace`, read as whoever opens it would. */

export interface TraceSpan {
  readonly row: string;
  readonly pid: number;
  readonly tid: number;
  readonly name: string;
  /** Microseconds. */
  readonly from: number;
  readonly to: number;
}

export interface ReadTrace {
  readonly spans: readonly TraceSpan[];
  readonly pause: { readonly from: number; readonly to: number };
  readonly clockErrorMs: number;
}

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: { readonly name?: string };
}

/** From the freeze at the source to running at the destination. */
export function pauseMs({ pause }: Pick<ReadTrace, "pause">): number {
  return (pause.to - pause.from) / 1000;
}

export function readTrace(text: string): ReadTrace {
  const json = JSON.parse(text) as { traceEvents: TraceEvent[]; otherData: Record<string, number> };
  const rows = new Map<number, string>();
  for (const event of json.traceEvents)
    if (event.name === "process_name") rows.set(event.pid, event.args?.name ?? "");
  const spans = json.traceEvents
    .filter((event) => event.ph === "X")
    .map(({ pid, tid, name, ts = 0, dur = 0 }) => {
      return { row: rows.get(pid) ?? "", pid, tid, name, from: ts, to: ts + dur };
    });
  const { pauseFromUs: from = 0, pauseToUs: to = 0, clockErrorMs = 0 } = json.otherData;
  return { spans, pause: { from, to }, clockErrorMs };
}

/** Pairs of spans of one lane of which neither holds the other, though they overlap. */
export function crossing(spans: readonly TraceSpan[]): [TraceSpan, TraceSpan][] {
  const pairs: [TraceSpan, TraceSpan][] = [];
  for (const a of spans)
    for (const b of spans)
      if (a.pid === b.pid && a.tid === b.tid && a.from < b.from && b.from < a.to && a.to < b.to)
        pairs.push([a, b]);
  return pairs;
}

/** The share of [from, to) that some span covers. */
export function coverage(spans: readonly TraceSpan[], from: number, to: number): number {
  let covered = 0;
  let at = from;
  for (const span of [...spans].sort((a, b) => a.from - b.from)) {
    covered += Math.max(0, Math.min(to, span.to) - Math.max(at, span.from));
    at = Math.max(at, Math.min(to, span.to));
  }
  return to > from ? covered / (to - from) : 0;
}
