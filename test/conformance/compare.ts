/** Compares what two shims did in the same row. */
import type { Line } from "./record.js";
import type { Difference } from "./row.js";

export interface Finding {
  readonly kind: "difference" | "wanted" | "not as wanted";
  readonly label: string;
  readonly stock: string;
  readonly ours: string;
  readonly reason: string;
}

/** The line of a row that did not come to its end. */
export const BROKEN = "broken";

const NOTHING: Line = { label: "", outcome: "(no such line)", detail: "" };

export function compare(
  stock: readonly Line[],
  ours: readonly Line[],
  wanted: readonly Difference[],
): Finding[] {
  const labels = [...new Set([...stock, ...ours, ...wanted].map(({ label }) => label))];
  return labels.flatMap((label) => {
    const of = (lines: readonly Line[]) => lines.find((line) => line.label === label) ?? NOTHING;
    return judge(
      label,
      of(stock),
      of(ours),
      wanted.find((each) => each.label === label),
    );
  });
}

function judge(label: string, stock: Line, ours: Line, wanted: Difference | undefined): Finding[] {
  const found = { label, stock: stock.outcome, ours: ours.outcome, reason: wanted?.reason ?? "" };
  if (wanted !== undefined) {
    const asWanted = wanted.stock.test(stock.outcome) && wanted.ours.test(ours.outcome);
    return [{ kind: asWanted ? "wanted" : "not as wanted", ...found }];
  }
  // A row that could not be played proves nothing, even if it broke for both.
  const same = stock.outcome === ours.outcome && label !== BROKEN;
  return same ? [] : [{ kind: "difference", ...found }];
}
