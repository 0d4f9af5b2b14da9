/**
 * The table that ends a migration, and the words of a check and of a status.
 */
import type { pclive } from "#protos/agent";
import { formatBytes, formatMs, formatRate } from "../format.js";

type Report = pclive.agent.v1.IReport;
type Round = pclive.agent.v1.IRound;

const number = (value: number | null | undefined): number => value ?? 0;

/** Columns of equal width, right-aligned but for the first. */
export function table(rows: readonly (readonly string[])[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => row[i]?.length ?? 0)),
  );
  const pad = (cell: string, i: number): string =>
    i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

function roundRow(round: Round): string[] {
  return [
    `round ${number(round.round)}`,
    String(number(round.pages)),
    formatBytes(number(round.bytes)),
    formatMs(number(round.ms)),
    formatRate(number(round.throughput)),
    formatMs(number(round.attachMs)),
    formatMs(number(round.frozenMs)),
  ];
}

/** What the pause was made of: name, figure, remark. */
function pauseRows(report: Report): [string, string, string?][] {
  const ms = (value: number | null | undefined): string => formatMs(number(value));
  const bytes = (value: number | null | undefined): string => formatBytes(number(value));
  return [
    ["freeze", ms(report.freezeMs)],
    ["network lock", ms(report.lockMs), "beside the freeze"],
    ["snapshot", ms(report.snapshotMs)],
    ["skeleton dump", ms(report.skeletonDumpMs)],
    ["final pages", ms(report.finalPagesMs), `${bytes(report.finalBytes)}, beside the dump`],
    ["skeleton sent", ms(report.skeletonSendMs), bytes(report.skeletonBytes)],
    ["restore", ms(report.restoreMs)],
    ["  of it memory", ms(report.memoryRestoreMs)],
    ["commit", ms(report.commitMs)],
    ["downtime", ms(report.downtimeMs), predicted(report)],
    ["total", ms(report.totalMs), `${bytes(report.wireBytes)} on the wire`],
  ];
}

function predicted(report: Report): string {
  if (number(report.predictedDowntimeMs) === 0) return "not predicted";
  const error = Math.round(100 * number(report.predictionError));
  return `predicted ${formatMs(number(report.predictedDowntimeMs))}, off by ${error > 0 ? "+" : ""}${error} %`;
}

/** The report of a finished migration: rounds first, then where the pause went. */
export function renderReport(report: Report): string {
  const rounds = report.rounds ?? [];
  const parts: string[] = [];
  if (rounds.length > 0) {
    const head = ["", "pages", "bytes", "time", "throughput", "attach", "frozen"];
    parts.push(table([head, ...rounds.map(roundRow)]), "");
  }
  const pause = pauseRows(report);
  const lines = table(pause.map(([name, figure]) => [name, figure])).split("\n");
  parts.push(...lines.map((line, i) => `${line}${pause[i]?.[2] === undefined ? "" : `  ${pause[i]?.[2]}`}`));
  parts.push("", `${report.container ?? ""} runs on ${report.host ?? ""} (pid ${number(report.pid)})`);
  return parts.join("\n");
}

const MARK: Record<string, string> = { ok: "ok      ", warning: "warning ", refusal: "refused " };

/** The findings of a check, refusals last, each with its remedy. */
export function renderCheck(check: pclive.agent.v1.ICheckReport): string {
  const order = ["ok", "warning", "refusal"];
  const findings = [...(check.findings ?? [])].sort(
    (a, b) => order.indexOf(a.severity ?? "") - order.indexOf(b.severity ?? ""),
  );
  const lines = findings.map((finding) => {
    const line = `${MARK[finding.severity ?? ""] ?? "?       "}${(finding.where ?? "").padEnd(12)} ${finding.message ?? ""}`;
    return finding.severity !== "ok" && finding.remedy ? `${line}\n          try: ${finding.remedy}` : line;
  });
  lines.push(
    check.possible === true ? "this container can be moved" : "this container cannot be moved as things are",
  );
  return lines.join("\n");
}

/** One line for each migration the agent knows of. */
export function renderStatus(status: pclive.agent.v1.IStatusReport): string {
  const migrations = status.migrations ?? [];
  if (migrations.length === 0) return `${status.host ?? ""}: no migrations (pclive ${status.version ?? ""})`;
  return table([
    ["MIGRATION", "CONTAINER", "ROLE", "PEER", "STRATEGY", "PHASE", "ROUND", "BYTES"],
    ...migrations.map((m) => [
      m.migration ?? "",
      `${m.namespace ?? ""}/${m.container ?? ""}`,
      m.role ?? "",
      m.peer ?? "",
      m.strategy ?? "",
      m.outcome ? `${m.phase ?? ""} (${m.outcome})` : (m.phase ?? ""),
      String(number(m.round)),
      formatBytes(number(m.bytes)),
    ]),
  ]);
}
