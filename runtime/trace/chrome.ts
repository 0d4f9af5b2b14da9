/**
 * The timeline of both hosts as JSON of Chrome's trace format, which ui.perfetto.dev opens. One process row for each component of
 * each host; what happens at a time within one is told apart by lanes, so that the spans of a lane nest.
 */
import type { Span } from "./recorder.js";

export interface Side {
  readonly host: string;
  readonly role: "source" | "destination";
  readonly spans: readonly Span[];
}

export interface Clocks {
  /** Taken from the destination's times. */
  readonly offsetMs: number;
  readonly errorMs: number;
  readonly roundTripMs: number;
}

export interface Pause {
  /** Unix times, ms, by the source's clock. */
  readonly from: number;
  readonly to: number;
}

interface Event {
  readonly name: string;
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  /** Microseconds since the first span. */
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: Readonly<Record<string, number | string>>;
}

export interface Trace {
  readonly traceEvents: readonly Event[];
  readonly displayTimeUnit: "ms";
  readonly otherData: Readonly<Record<string, number | string>>;
}

/** The order of a host's rows. */
const COMPONENTS = ["pause", "agent", "shim", "engine", "runC", "CRIU", "overlay"];

export function chromeTrace(sides: readonly Side[], clocks: Clocks, pause: Pause | undefined): Trace {
  const all = sides.flatMap((side, i) =>
    side.spans.map((span) => ({
      ...span,
      at: span.at - (side.role === "destination" ? clocks.offsetMs : 0),
      side: i,
    })),
  );
  const zero = Math.min(...all.map((span) => span.at), pause?.from ?? Infinity);
  const us = (ms: number) => Math.round(ms * 1000);
  const rows = new Rows(sides);
  // The outer one first: whoever draws them finds parents before children.
  const spans = all.sort((a, b) => a.at - b.at || b.ms - a.ms);
  const events = spans.map((span): Event => {
    const { pid, tid } = rows.place(span.side, span.track, us(span.at - zero), us(span.at + span.ms - zero));
    const ts = us(span.at - zero);
    const dur = us(span.at + span.ms - zero) - ts;
    return { name: span.name, ph: "X", pid, tid, ts, dur, ...(span.figures ? { args: span.figures } : {}) };
  });
  return {
    traceEvents: [...rows.names(), ...events],
    displayTimeUnit: "ms",
    otherData: {
      clockOffsetMs: clocks.offsetMs,
      clockErrorMs: clocks.errorMs,
      roundTripMs: clocks.roundTripMs,
      beganUnixMs: zero,
      ...(pause ? { pauseFromUs: us(pause.from - zero), pauseToUs: us(pause.to - zero) } : {}),
    },
  };
}

/** Which process and thread number a span gets. */
class Rows {
  /** By row: the ends of what is open in each lane. */
  readonly #lanes = new Map<number, number[][]>();
  readonly #used = new Map<number, string>();

  constructor(private readonly sides: readonly Side[]) {}

  place(side: number, track: string, from: number, to: number): { pid: number; tid: number } {
    const known = COMPONENTS.indexOf(track);
    const pid = 1 + side * (COMPONENTS.length + 1) + (known < 0 ? COMPONENTS.length : known);
    const { host, role } = this.sides[side] ?? { host: "", role: "" };
    this.#used.set(pid, `${host} (${role}): ${track}`);
    const lanes = this.#lanes.get(pid) ?? [];
    this.#lanes.set(pid, lanes);
    let tid = lanes.findIndex((lane) => fits(lane, from, to));
    if (tid < 0) tid = lanes.push([]) - 1;
    lanes[tid]?.push(to);
    return { pid, tid: tid + 1 };
  }

  names(): Event[] {
    return [...this.#used].flatMap(([pid, name]): Event[] => [
      { name: "process_name", ph: "M", pid, tid: 0, args: { name } },
      { name: "process_sort_index", ph: "M", pid, tid: 0, args: { sort_index: pid } },
    ]);
  }
}

/** Whether a span lies within all that is still open in a lane; what has ended is taken out. */
function fits(lane: number[], from: number, to: number): boolean {
  while (lane.length > 0 && (lane.at(-1) ?? 0) <= from) lane.pop();
  return lane.length === 0 || to <= (lane.at(-1) ?? 0);
}
