/**
 * What clients feel before, during and after a move, from the load generator's windows of 100 ms.
 */
import { type LoadReport, windowsIn } from "../lib/load.js";
import { median } from "./summary.js";

export interface Latencies {
  /** The windows' 99th percentiles, their median: under load before the migration, and during its rounds. */
  readonly p99_before_ms: number;
  readonly p99_rounds_ms: number;
  /** From the first answer after the gap until rate and latency are as before and stay so for a second; Infinity: not while it was watched. */
  readonly recovery_ms: number;
}

/** As before: so much of what is offered, at most so many times the latency. */
const RATE = 0.98;
const LATENCY = 2;
const STAYS = 10;

type Window = LoadReport["windows"][number];

/** @param roundsFrom, switchoverAt milliseconds since 1970 */
export function latenciesOf(load: LoadReport, roundsFrom: number, switchoverAt: number): Latencies {
  const at = ([start]: Window): number => load.start_unix_ms + start;
  const p99 = (windows: readonly Window[]): number => median(windows.map((window) => window[3]));
  const during = windowsIn(load, roundsFrom, switchoverAt);
  const usual = p99(windowsIn(load, 0, roundsFrom));
  const after = windowsIn(load, load.gap_end_unix_ms, Number.POSITIVE_INFINITY);
  const good = after.map(
    ([, due, received, latency]) => received >= RATE * due && latency <= LATENCY * usual,
  );
  const first = good.findIndex((_, i) => i + STAYS <= good.length && good.slice(i, i + STAYS).every(Boolean));
  const recovered = after[first];
  return {
    p99_before_ms: usual,
    p99_rounds_ms: during.length > 0 ? p99(during) : Number.NaN,
    recovery_ms: recovered ? at(recovered) - load.gap_end_unix_ms : Number.POSITIVE_INFINITY,
  };
}
