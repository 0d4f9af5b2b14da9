/** Prints the table, the differences, and "N passed, N failed". */
import type { Finding } from "./compare.js";
import type { Line } from "./record.js";
import type { Row } from "./row.js";

export interface Outcome {
  readonly row: Row;
  readonly stock: readonly Line[];
  readonly ours: readonly Line[];
  readonly findings: readonly Finding[];
}

/** @returns the exit status: 1 when something differs */
export function report(outcomes: readonly Outcome[]): number {
  let failed = 0;
  for (const { row, stock, findings } of outcomes) {
    const bad = findings.filter(({ kind }) => kind !== "wanted");
    const wanted = findings.length - bad.length;
    failed += bad.length > 0 ? 1 : 0;
    const sign = bad.length > 0 ? "DIFFERS" : wanted > 0 ? "as wanted" : "same";
    console.log(`${sign.padEnd(10)} ${row.name} (${stock.length} lines)`);
  }
  const wanted = outcomes.flatMap(({ row, findings }) =>
    findings.filter(({ kind }) => kind === "wanted").map((finding) => ({ row, finding })),
  );
  if (wanted.length > 0) console.log("\nWanted differences:");
  for (const { row, finding } of wanted) {
    console.log(`  ${row.name}`);
    print(finding);
    console.log(`    why    ${finding.reason}`);
  }
  reportFailures(outcomes);
  console.log(`${outcomes.length - failed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

/** Last, since it is the end of a log that is looked at, and often all that is kept of it. */
function reportFailures(outcomes: readonly Outcome[]): void {
  for (const { row, findings } of outcomes) {
    const bad = findings.filter(({ kind }) => kind !== "wanted");
    if (bad.length > 0) console.log(`\nDIFFERS ${row.name}`);
    for (const finding of bad) print(finding);
  }
}

/** Every line of both, with the whole texts of errors, which are not compared. */
export function reportMessages(outcomes: readonly Outcome[]): void {
  for (const { row, stock, ours } of outcomes) {
    console.log(`\n=== ${row.name}`);
    for (const line of stock) {
      const twin = ours.find(({ label }) => label === line.label);
      console.log(`${line.label}: ${indent(line.outcome)}`);
      if (line.detail === twin?.detail) continue;
      console.log(`    stock  ${line.detail}`);
      console.log(`    ours   ${twin?.detail ?? ""}`);
    }
  }
}

function print({ kind, label, stock, ours }: Finding): void {
  console.log(`    ${kind === "not as wanted" ? "NOT AS WANTED: " : ""}${label}`);
  console.log(`    stock  ${indent(stock)}`);
  console.log(`    ours   ${indent(ours)}`);
}

function indent(text: string): string {
  return text.replaceAll("\n", "\n           ");
}
