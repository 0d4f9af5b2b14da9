/**
 * What a client measures while a service is moved, in the form of LoadReport: windows of 100 ms, and the longest gap between two answers
 * during which one was owed.
 */
import type { LoadReport } from "./load.js";

const WINDOW_MS = 100;
const LATE_MS = 100;

interface Window {
  due: number;
  received: number;
  readonly latencies: number[];
}

/** Nearest-rank quantile of values in ascending order; 0 of none. */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

export class Recorder {
  sent = 0;
  received = 0;
  wrong = 0;
  errors = 0;
  late = 0;
  broken = 0;
  firstWrong = "";
  private outstanding = 0;
  private lastAnswer: number;
  private gapMs = 0;
  private gapEnd = 0;
  private readonly windows: Window[] = [];

  /** @param startMs, of whatever clock the calls below use; @param startUnixMs the same instant since 1970 */
  constructor(
    private readonly startMs: number,
    private readonly startUnixMs: number,
  ) {
    this.lastAnswer = startMs;
  }

  /** A request falls due. */
  due(at: number): void {
    if (this.outstanding++ === 0) this.lastAnswer = Math.max(this.lastAnswer, at);
    this.sent++;
    this.window(at).due++;
  }

  /** `units` requests, due at `dueAt`, are answered. */
  done(at: number, dueAt: number, units = 1): void {
    this.outstanding = Math.max(0, this.outstanding - units);
    this.received += units;
    if (at - this.lastAnswer > this.gapMs) {
      this.gapMs = at - this.lastAnswer;
      this.gapEnd = at;
    }
    this.lastAnswer = at;
    const latency = at - dueAt;
    if (latency > LATE_MS) this.late++;
    const window = this.window(at);
    window.received += units;
    window.latencies.push(latency);
  }

  /** An answer that is not the right one. */
  mistake(what: string): void {
    this.wrong++;
    this.firstWrong ||= what;
  }

  report(endMs: number, offeredRate: number): LoadReport {
    const all = ascending(this.windows.flatMap((window) => window.latencies));
    const elapsed = endMs - this.startMs;
    return {
      offered_rate: offeredRate,
      achieved_rate: elapsed > 0 ? (1000 * this.received) / elapsed : 0,
      elapsed_ms: elapsed,
      start_unix_ms: this.startUnixMs,
      sent: this.sent,
      received: this.received,
      wrong: this.wrong,
      errors: this.errors,
      late: this.late,
      lost: this.outstanding,
      broken_connections: this.broken,
      client_gap_ms: this.gapMs,
      gap_end_unix_ms: this.gapEnd === 0 ? 0 : this.startUnixMs + this.gapEnd - this.startMs,
      p50_ms: quantile(all, 0.5),
      p99_ms: quantile(all, 0.99),
      first_wrong: this.firstWrong,
      windows: this.windows.map(({ due, received, latencies }, i) => [
        i * WINDOW_MS,
        due,
        received,
        quantile(ascending(latencies), 0.99),
      ]),
    };
  }

  private window(at: number): Window {
    const index = Math.max(0, Math.floor((at - this.startMs) / WINDOW_MS));
    while (this.windows.length <= index) this.windows.push({ due: 0, received: 0, latencies: [] });
    return this.windows[index] as Window;
  }
}
