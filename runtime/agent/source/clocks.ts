/** How the peer's clock stands to ours, from questions that it answered at once. */

/** Unix times, ms. */
export interface ClockReading {
  readonly sentAt: number;
  /** By the peer's clock. */
  readonly peerAt: number;
  readonly receivedAt: number;
}

export interface ClockRelation {
  readonly roundTripMs: number;
  /** To be taken from the peer's times to make them ours. */
  readonly offsetMs: number;
  /** The offset is off by this at most: the answer was given at some time within the round trip. */
  readonly errorMs: number;
}

/** The fastest answer bounds the offset best. @returns undefined without readings */
export function relate(readings: readonly ClockReading[]): ClockRelation | undefined {
  let best: ClockRelation | undefined;
  for (const { sentAt, peerAt, receivedAt } of readings) {
    const roundTripMs = Math.max(0, receivedAt - sentAt);
    if (best && best.roundTripMs <= roundTripMs) continue;
    best = { roundTripMs, offsetMs: peerAt - (sentAt + receivedAt) / 2, errorMs: roundTripMs / 2 };
  }
  return best;
}
