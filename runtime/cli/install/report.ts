/** What install and uninstall tell: for people with diffs, for programs as one JSON object. */
import { createTwoFilesPatch } from "diff";
import type { Change } from "./plan.js";
import type { Undo } from "./uninstall.js";

export interface Report {
  readonly dryRun: boolean;
  readonly steps: readonly Step[];
  /** Commands for the person, each with its reason. */
  readonly next: readonly string[];
}

export interface Step {
  readonly action: "create" | "edit" | "remove" | "link" | "enable" | "disable" | "none";
  readonly about: string;
  readonly note?: string;
  readonly diff?: string;
  readonly backup?: string;
}

export function installStep(change: Change, backup: string | undefined): Step {
  switch (change.kind) {
    case "edit":
    case "file": {
      const { path, before, after } = change;
      const step: Step = {
        action: before === undefined ? "create" : "edit",
        about: path,
        diff: patch(path, before ?? "", after),
      };
      return backup === undefined ? step : { ...step, backup };
    }
    case "link":
      return { action: "link", about: change.path, note: `to ${change.target}` };
    case "unit":
      return { action: "enable", about: change.name };
    case "nothing":
      return { action: "none", about: change.about, note: change.why };
  }
}

/** @returns undefined for what nobody needs to read */
export function uninstallStep(undo: Undo): Step | undefined {
  switch (undo.kind) {
    case "write": {
      const diff = patch(undo.path, undo.before, Buffer.from(undo.content).toString("utf8"));
      return { action: "edit", about: undo.path, note: undo.note, diff };
    }
    case "remove":
      return { action: "remove", about: undo.path };
    case "unit":
      return { action: "disable", about: undo.name };
    case "nothing":
      return { action: "none", about: undo.about, note: undo.why };
    case "folder":
      return undefined;
  }
}

export function render(report: Report): string {
  const lines = report.steps.flatMap((step) => stepLines(step, report.dryRun));
  if (report.dryRun) lines.push("nothing was changed (--dry-run)");
  if (report.next.length > 0) lines.push("", "next:", ...report.next.map((line) => `  ${line}`));
  return lines.join("\n");
}

function stepLines(step: Step, dryRun: boolean): string[] {
  const note = step.note === undefined ? "" : `: ${step.note}`;
  const saved = step.backup === undefined ? "" : ` (saved: ${step.backup})`;
  const line = `${(step.action === "none" ? "-" : step.action).padEnd(8)}${step.about}${note}${saved}`;
  return dryRun && step.diff !== undefined ? [line, step.diff] : [line];
}

function patch(path: string, before: string, after: string): string {
  const text = createTwoFilesPatch(path, path, before, after, undefined, undefined, { context: 2 });
  return text.slice(text.indexOf("--- ")).trimEnd();
}
