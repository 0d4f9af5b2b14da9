/** Spans on their way between shims, agents and the command: those of others are checked. */
import { z } from "zod";
import type { Span } from "./recorder.js";

interface WireSpan {
  readonly track?: string | null;
  readonly name?: string | null;
  readonly at?: number | null;
  readonly ms?: number | null;
  readonly figures?: Readonly<Record<string, number>> | null;
}

const MAX_SPANS = 8000;
const time = z.number().min(0).max(1e14);
const span = z.object({
  track: z.string().min(1).max(32),
  name: z.string().min(1).max(100),
  at: time,
  ms: time,
  figures: z.record(z.string().max(32), z.number()).optional(),
});

export function toWire(spans: readonly Span[]): WireSpan[] {
  return spans.map(({ figures, ...rest }) => ({ ...rest, figures: { ...figures } }));
}

/** What is no span is left out. */
export function fromWire(spans: readonly WireSpan[] | null | undefined): Span[] {
  return (spans ?? []).slice(0, MAX_SPANS).flatMap((one) => {
    const { track, name, at, ms, figures } = one;
    const some = figures && Object.keys(figures).length > 0 ? { figures: { ...figures } } : {};
    const result = span.safeParse({ track, name, at: at ?? 0, ms: ms ?? 0, ...some });
    if (!result.success) return [];
    const { figures: checked, ...rest } = result.data;
    return [{ ...rest, ...(checked ? { figures: checked } : {}) }];
  });
}
