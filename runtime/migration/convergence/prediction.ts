/** The downtime of a switchover, from its fixed costs and what is left to send. */
import { type Costs, total } from "./costs.js";

/** A final round that sends nothing: page lists, and the peer's confirmation. */
const EMPTY_FINAL_MS = 6;
/** The dump and the last pages share processors: so much of the shorter one is not hidden by the other. */
const IN_EACH_OTHERS_WAY = 0.3;

export interface Prediction {
  /** Bytes a second that were dirtied lately. */
  readonly dirtyRate: number;
  /** Bytes a second that the engines move. */
  readonly throughput: number;
  /** What the final round would have to send. */
  readonly finalBytes: number;
  readonly downtimeMs: number;
  /** Until the switchover has ended, if all goes on as it did. */
  readonly etaMs: number;
}

/** How long the last pages take, beside CRIU's dump. */
export function pagesMs(bytes: number, throughput: number): number {
  return EMPTY_FINAL_MS + (bytes / throughput) * 1000;
}

/** @param bytes dirty pages and what the peer has not placed yet */
export function downtimeMs(costs: Costs, bytes: number, throughput: number): number {
  return total(costs) - costs.dump + beside(costs.dump, pagesMs(bytes, throughput));
}

/** How long two things take that are done at the same time on the same processors. */
export function beside(a: number, b: number): number {
  return Math.max(a, b) + IN_EACH_OTHERS_WAY * Math.min(a, b);
}

/** What the dump would have taken alone. */
export function dumpAlone(dumpMs: number, pages: number): number {
  return Math.max(dumpMs / 2, dumpMs - IN_EACH_OTHERS_WAY * pages);
}
