/** Compares what two shims did in the same row. */
import type { Line } from "./record.js";
import type { Better, Difference, Row } from "./row.js";

export interface Finding {
  readonly kind: "difference" | "wanted" | "not as wanted";
  readonly label: string;
  readonly stock: string;
  readonly ours: string;
  readonly reason: string;
}

/** The line of a row that did not come to its end. */
export const BROKEN = "broken";

const NO_LINE = "(no such line)";

type Outcomes = (label: string) => string;

/** @param generation of containerd, e.g. "1.6" */
export function compare(
  row: Row,
  stock: readonly Line[],
  ours: readonly Line[],
  generation: string,
): Finding[] {
  const { wanted } = row;
  if (wanted.kind === "better") return judgeBetter(wanted.better, outcomes(stock), outcomes(ours));
  const all = wanted.kind === "lines" ? wanted.differences : [];
  const differences = all.filter(({ generations }) => generations?.test(generation) ?? true);
  const labels = new Set([...stock, ...ours, ...differences].map(({ label }) => label));
  return [...labels].flatMap((label) => {
    const difference = differences.find((each) => each.label === label);
    return judge(label, outcomes(stock)(label), outcomes(ours)(label), difference);
  });
}

function outcomes(lines: readonly Line[]): Outcomes {
  return (label) => lines.find((line) => line.label === label)?.outcome ?? NO_LINE;
}

function judge(label: string, stock: string, ours: string, wanted: Difference | undefined): Finding[] {
  if (wanted !== undefined) {
    const asWanted = wanted.stock.test(stock) && wanted.ours.test(ours);
    return [{ kind: asWanted ? "wanted" : "not as wanted", label, stock, ours, reason: wanted.reason }];
  }
  // A row that could not be played proves nothing, even if it broke for both.
  const same = stock === ours && label !== BROKEN;
  return same ? [] : [{ kind: "difference", label, stock, ours, reason: "" }];
}

function judgeBetter({ stock, ours, reason }: Better, ofStock: Outcomes, ofOurs: Outcomes): Finding[] {
  const mustNot = { [BROKEN]: new RegExp(`^${NO_LINE.replace(/[()]/g, "\\$&")}$`) };
  const labels = new Set([...Object.keys(stock), ...Object.keys(ours), BROKEN]);
  return [...labels].flatMap((label): Finding[] => {
    const [one, two] = [ofStock(label), ofOurs(label)];
    const asWanted = (stock[label]?.test(one) ?? true) && ({ ...mustNot, ...ours }[label]?.test(two) ?? true);
    if (asWanted && one === two) return [];
    return [{ kind: asWanted ? "wanted" : "not as wanted", label, stock: one, ours: two, reason }];
  });
}
