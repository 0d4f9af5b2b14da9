/** `npm run bench -- evaluation`: runs the cases one after the other and writes what there is after each of them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../../lab/lab.js";
import { measure } from "./measure.js";
import type { Outcome } from "./outcome.js";
import { type Choice, type EvaluationCase, keyOf, planned, WORKLOADS } from "./plan.js";
import { writeReport } from "./report.js";

export interface EvaluationOptions extends Choice {
  readonly out: string;
  /** Keeps what an earlier run has measured, and measures what is missing. */
  readonly resume: boolean;
  /** Makes pictures and pages anew of what was measured; measures nothing. */
  readonly reportOnly: boolean;
}

const JSON_FILE = "evaluation.json";

function earlier(file: string): Outcome[] {
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Outcome[]) : [];
}

function line(outcome: Outcome): string {
  if (outcome.kind === "failed") return `failed: ${outcome.why}`;
  const { gapMs, downtimeMs, totalMs, complaint } = outcome;
  const figures = `gap ${gapMs.toFixed(0)} ms, downtime ${downtimeMs.toFixed(0)} ms, total ${(totalMs / 1000).toFixed(1)} s`;
  return complaint === undefined ? figures : `${figures}, BUT ${complaint}`;
}

async function outcome(lab: Lab, test: EvaluationCase, number: number): Promise<Outcome> {
  try {
    return await measure(lab, test, number);
  } catch (error) {
    return { ...test, kind: "failed", why: (error as Error).message };
  }
}

/** @returns the exit code: 1 when a case failed or a client had to complain */
export async function evaluation(options: EvaluationOptions): Promise<number> {
  const file = join(options.out, JSON_FILE);
  mkdirSync(options.out, { recursive: true });
  const outcomes = options.resume || options.reportOnly ? earlier(file) : [];
  if (!options.reportOnly) await measureAll(options, outcomes, file);
  for (const path of await writeReport(options.out, outcomes)) process.stdout.write(`${path}\n`);
  const bad = outcomes.filter((one) => one.kind === "failed" || one.complaint !== undefined);
  for (const one of bad) process.stdout.write(`PROBLEM ${keyOf(one)}: ${line(one)}\n`);
  return bad.length === 0 ? 0 : 1;
}

async function measureAll(options: EvaluationOptions, outcomes: Outcome[], file: string): Promise<void> {
  const lab = await Lab.up();
  const { stdout: help } = await lab.exec("a", ["pclive", "migrate", "--help"]);
  const all = planned(options, help.includes("--stage-after"));
  const done = new Set(outcomes.filter((one) => one.kind === "moved").map(keyOf));
  const left = all.filter((one) => !done.has(keyOf(one)));
  for (const name of new Set(left.map(({ workload }) => workload))) await WORKLOADS[name]?.prepare?.(lab);
  const begun = Date.now();
  for (const [index, test] of left.entries()) {
    process.stdout.write(`[${index + 1}/${left.length}] ${keyOf(test)}: `);
    const result = await outcome(lab, test, index);
    const former = outcomes.findIndex((one) => keyOf(one) === keyOf(test));
    if (former >= 0) outcomes.splice(former, 1);
    outcomes.push(result);
    writeFileSync(file, `${JSON.stringify(outcomes)}\n`);
    process.stdout.write(`${line(result)}\n`);
  }
  await lab.shape("off");
  process.stdout.write(`${left.length} cases in ${Math.round((Date.now() - begun) / 1000)} s\n`);
}
