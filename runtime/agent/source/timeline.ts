/** The timeline of a migration, put together from what both sides tell when it is over. */
import type { pclive } from "#protos/agent";
import type { Span } from "../../trace/recorder.js";
import { fromWire, toWire } from "../../trace/wire.js";
import type { ClockRelation } from "./clocks.js";
import type { Running } from "./migration.js";

/** As many go into one message. */
const PART = 500;
const TRACE_MS = 5_000;

export interface Told {
  /** This host's name. */
  readonly host: string;
  readonly peer: string;
  readonly source: readonly Span[];
  readonly destination: readonly Span[];
  readonly clocks: ClockRelation | undefined;
  /** From the freeze to running, unix times in ms by our clock; undefined when it did not come to that. */
  readonly pause: { readonly from: number; readonly to: number } | undefined;
}

/** Asks the destination for its part. @param shimSpans where the time went in our shim */
export async function timelineOf(
  running: Running,
  shimSpans: readonly Span[],
): Promise<pclive.agent.v1.ITracePart[]> {
  const { context, figures, stream, peer, recorder } = running;
  const { spans } = await stream.expect("trace", TRACE_MS).catch(() => ({ spans: [] }));
  const destination = fromWire(spans);
  const clocks = stream.clocks;
  const source = [...recorder.spans, ...shimSpans];
  const offset = clocks?.offsetMs ?? 0;
  const pause = figures.pause(offset);
  if (pause !== undefined) {
    const ours = destination.map((span) => ({ ...span, at: span.at - offset }));
    source.push(...pauseChain(shimSpans, ours, pause, figures.readyAt));
  }
  return timelineEvents({ host: context.config.host, peer, source, destination, clocks, pause });
}

export function timelineEvents(told: Told): pclive.agent.v1.ITracePart[] {
  const { clocks, pause } = told;
  const common = {
    clockOffsetMs: clocks?.offsetMs ?? 0,
    clockErrorMs: clocks?.errorMs ?? 0,
    roundTripMs: clocks?.roundTripMs ?? 0,
    pauseFrom: pause?.from ?? 0,
    pauseTo: pause?.to ?? 0,
  };
  const parts = (host: string, role: string, spans: readonly Span[]) =>
    chunks(toWire(spans)).map((some) => ({ ...common, host, role, spans: some }));
  return [...parts(told.host, "source", told.source), ...parts(told.peer, "destination", told.destination)];
}

/**
 * The pause as a chain: each part ends where the next begins, whoever is at work.
 * @param source the shim's and engine's spans of this host, by its clock
 * @param destination those of the peer, by our clock
 */
export function pauseChain(
  source: readonly Span[],
  destination: readonly Span[],
  pause: { readonly from: number; readonly to: number },
  readyAt: number,
): Span[] {
  const end = (spans: readonly Span[], name: string) => {
    const found = spans.find((span) => span.name === name);
    return found && found.at + found.ms;
  };
  const begin = (spans: readonly Span[], name: string) => spans.find((span) => span.name === name)?.at;
  const ends: readonly (readonly [string, number | undefined])[] = [
    ["stop: freeze and network lock", begin(source, "snapshot")],
    ["snapshot", end(source, "snapshot")],
    ["skeleton dump, last pages beside", begin(source, "skeleton sent")],
    ["skeleton sent", begin(destination, "CRIU restores")],
    ["restore", end(destination, "CRIU restores")],
    ["ready: word to the source", readyAt],
    ["commit recorded", end(source, "record the commit")],
    ["release", pause.to],
  ];
  const chain: Span[] = [];
  let at = pause.from;
  for (const [name, to] of ends) {
    if (to === undefined || to < at) continue;
    chain.push({ track: "pause", name, at, ms: to - at });
    at = to;
  }
  return chain;
}

function chunks<T>(all: readonly T[]): T[][] {
  const parts: T[][] = [];
  for (let i = 0; i < all.length; i += PART) parts.push(all.slice(i, i + PART));
  return parts;
}
