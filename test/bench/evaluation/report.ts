/** The evaluation for people: evaluation.md, pictures, and evaluation.html, which needs no other file. */
import { writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { type Drawing, draw } from "../draw.js";
import type { Failed, Moved, Outcome } from "./outcome.js";
import { type Picture, pictures } from "./pictures.js";
import { keyOf, WORKLOADS } from "./plan.js";
import { markdownTable, tableOf } from "./tables.js";

const TITLE = "PCLive: evaluation";

interface Drawn extends Picture {
  readonly drawing: Drawing;
}

/** @returns the files that were written */
export async function writeReport(folder: string, outcomes: readonly Outcome[]): Promise<string[]> {
  const moved = outcomes.filter((one): one is Moved => one.kind === "moved");
  const failed = outcomes.filter((one): one is Failed => one.kind === "failed");
  const drawn: Drawn[] = [];
  for (const picture of pictures(moved)) {
    const spec = { ...picture.spec, title: { text: picture.title } };
    drawn.push({ ...picture, drawing: await draw(spec as Picture["spec"]) });
  }
  const written: string[] = [];
  const write = (name: string, content: string | Buffer): void => {
    writeFileSync(join(folder, name), content);
    written.push(join(folder, name));
  };
  for (const { name, drawing } of drawn) {
    write(`${name}.svg`, drawing.svg);
    write(`${name}.png`, drawing.png);
  }
  write("evaluation.md", markdown(moved, failed, drawn));
  write("evaluation.html", html(moved, failed, drawn));
  return written;
}

function machine(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `Two hosts in network namespaces of one machine: ${cpus().length} processors (${cpus()[0]?.model.trim()}), ${gib} GiB, Linux ${release()}. Times are this machine's; believe the ratios.`;
}

function workloadsOf(moved: readonly Moved[]): [string, string][] {
  const names = [...new Set(moved.map(({ workload }) => workload))];
  return names.map((name) => [name, WORKLOADS[name]?.what ?? ""]);
}

function problems(moved: readonly Moved[], failed: readonly Failed[]): string[] {
  return [
    ...failed.map((one) => `${keyOf(one)} failed: ${one.why}`),
    ...moved.flatMap((one) => (one.complaint === undefined ? [] : [`${keyOf(one)}: ${one.complaint}`])),
  ];
}

function markdown(moved: readonly Moved[], failed: readonly Failed[], drawn: readonly Drawn[]): string {
  return `${[
    `# ${TITLE}`,
    machine(),
    markdownTable(tableOf(moved)),
    "Median (least–most) of n moves. docs/benchmarks.md tells what each column means.",
    ...problems(moved, failed).map((line) => `**Problem:** ${line}`),
    "## Workloads",
    workloadsOf(moved)
      .map(([name, what]) => `* \`${name}\`: ${what}`)
      .join("\n"),
    ...drawn.flatMap(({ name, title, explanation }) => [
      `## ${title}`,
      explanation,
      `![${title}](${name}.svg)`,
    ]),
  ].join("\n\n")}\n`;
}

const escaped = (text: string): string =>
  text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");

const STYLE = `body{font:15px/1.5 "DejaVu Sans",system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}
th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;text-align:right;white-space:nowrap}
th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}
.problem{color:#a02020}svg{max-width:100%;height:auto}`;

function html(moved: readonly Moved[], failed: readonly Failed[], drawn: readonly Drawn[]): string {
  const [head = [], ...rows] = tableOf(moved);
  const cells = (tag: string, row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${escaped(cell)}</${tag}>`).join("")}</tr>`;
  return [
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${TITLE}</title><style>${STYLE}</style></head><body>`,
    `<h1>${TITLE}</h1><p>${escaped(machine())}</p>`,
    `<table><thead>${cells("th", head)}</thead><tbody>${rows.map((row) => cells("td", row)).join("\n")}</tbody></table>`,
    `<p>Median (least–most) of n moves.</p>`,
    ...problems(moved, failed).map((line) => `<p class="problem">${escaped(line)}</p>`),
    `<h2>Workloads</h2><dl>${workloadsOf(moved)
      .map(([name, what]) => `<dt><code>${escaped(name)}</code></dt><dd>${escaped(what)}</dd>`)
      .join("")}</dl>`,
    ...drawn.map(
      ({ title, explanation, drawing }) =>
        `<h2>${escaped(title)}</h2><p>${escaped(explanation)}</p>${drawing.svg}`,
    ),
    "</body></html>\n",
  ].join("\n");
}
