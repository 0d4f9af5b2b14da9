/** The client's gap of each strategy as a bar chart: a bar for the median, a line from the lowest to the highest. */
import type { TopLevelSpec } from "vega-lite";
import { groupBy, median, type Row } from "./summary.js";

const COLOURS: Record<string, string> = {
  stock: "#b8bfc7",
  "stop-and-copy": "#9aa5b1",
  precopy: "#6b8fb3",
  pipelined: "#1f7a4d",
};

export function picture(rows: readonly Row[]): TopLevelSpec {
  const groups = [...groupBy(rows, (row) => `${settingOf(row)}|${row.strategy}`).values()];
  const bars = groups.map((group) => {
    const gaps = group.map((row) => row.client_gap_ms);
    const [first] = group as [Row, ...Row[]];
    const [low, high] = [Math.min(...gaps), Math.max(...gaps)];
    return { setting: settingOf(first), strategy: first.strategy, gap: median(gaps), low, high };
  });
  const most = Math.max(0, ...groups.map((group) => group.length));
  const strategies = Object.keys(COLOURS);
  const y = { field: "strategy", type: "nominal" as const, title: null, sort: strategies };
  return {
    title: {
      text: "Gap seen by the clients of a Redis that moves, under load",
      subtitle: `median of ${most}, line: lowest to highest`,
    },
    data: { values: bars },
    facet: {
      row: { field: "setting", type: "nominal", header: { title: null, labelAngle: 0, labelAlign: "left" } },
    },
    resolve: { scale: { y: "independent" } },
    spec: {
      width: 480,
      height: { step: 30 },
      layer: [
        {
          mark: "bar",
          encoding: {
            y,
            x: { field: "gap", type: "quantitative", title: "ms" },
            color: {
              field: "strategy",
              type: "nominal",
              legend: null,
              scale: { domain: strategies, range: Object.values(COLOURS) },
            },
          },
        },
        { mark: "rule", encoding: { y, x: { field: "low", type: "quantitative" }, x2: { field: "high" } } },
        {
          mark: { type: "text", align: "left", dx: 6, fontWeight: "bold" },
          encoding: {
            y,
            x: { field: "high", type: "quantitative" },
            text: { field: "gap", type: "quantitative", format: ".0f" },
          },
        },
      ],
    },
  };
}

function settingOf(row: Row): string {
  return `${row.memory_mb} MB, ${row.workload}, ${row.link_mbit / 1000} Gbit/s`;
}
