/** What the evaluation draws. */
import type { TopLevelSpec } from "vega-lite";
import { groupBy, median } from "../summary.js";
import type { Moved, Point } from "./outcome.js";
import { STRATEGIES } from "./plan.js";

export interface Picture {
  readonly name: string;
  readonly title: string;
  readonly explanation: string;
  readonly spec: TopLevelSpec;
}

const COLOURS = ["#9aa5b1", "#c58b2a", "#1f7a4d", "#6b8fb3", "#8a6fb0", "#b35c5c"];
/** Parts of the pause, from the freeze on. */
const PART_COLOURS = [
  "#6b8fb3",
  "#a3bfd9",
  "#c58b2a",
  "#e3c07f",
  "#1f7a4d",
  "#7fb898",
  "#8a6fb0",
  "#c3b3d8",
  "#9aa5b1",
];
const COLUMNS = 2;
const HOST_COLUMNS = 3;
const BEFORE_S = 8;
const AFTER_S = 5;
const LINE = { type: "line", strokeWidth: 1.5, clip: true } as const;
const FROM_FREEZE = {
  field: "at",
  type: "quantitative" as const,
  title: "seconds from the freeze",
  scale: { domain: [-BEFORE_S, AFTER_S] },
};

/** Workload, memory and link: what strategies are compared at. */
export function settingOf({ workload, memoryMb, linkMbit }: Moved): string {
  return `${workload}, ${memoryMb} MB, ${linkMbit / 1000} Gbit/s`;
}

/** Of the repetitions of each case the one with the median gap (the lower of two). */
export function typical(moved: readonly Moved[]): Moved[] {
  const groups = groupBy(moved, (one) => `${settingOf(one)} ${one.strategy}`);
  return [...groups.values()].map((group) => {
    const sorted = [...group].sort((a, b) => a.gapMs - b.gapMs);
    return sorted[(sorted.length - 1) >> 1] as Moved;
  });
}

/** Those of all that are there, in the order of STRATEGIES. */
function strategies(moved: readonly Moved[]): string[] {
  return STRATEGIES.filter((name) => moved.some((one) => one.strategy === name));
}

function near([at]: Point): boolean {
  return at >= -BEFORE_S && at <= AFTER_S;
}

function throughput(moved: readonly Moved[]): Picture {
  const values = typical(moved).flatMap((one) => {
    const usual = one.throughput.before || median(one.series.map(([, rate]) => rate)) || 1;
    return one.series.filter(near).map(([at, rate]) => ({
      setting: settingOf(one),
      strategy: one.strategy,
      at,
      share: (100 * rate) / usual,
    }));
  });
  const names = strategies(moved);
  return {
    name: "throughput",
    title: "Throughput round the switchover",
    explanation:
      "Per 100 ms, in percent of what it was before the migration; second 0 is when the container is frozen. Above 100 % directly after the pause are requests that had waited.",
    spec: {
      data: { values },
      facet: { field: "setting", type: "nominal", header: { title: null } },
      columns: COLUMNS,
      spec: {
        width: 380,
        height: 150,
        layer: [
          {
            mark: { type: "rule", strokeDash: [3, 3], color: "#222" },
            encoding: { x: { datum: 0, type: "quantitative" } },
          },
          {
            mark: LINE,
            encoding: {
              x: FROM_FREEZE,
              y: {
                field: "share",
                type: "quantitative",
                title: "% of usual",
                scale: { domain: [0, 200], clamp: true },
              },
              color: { field: "strategy", type: "nominal", scale: scaleOf(names) },
            },
          },
        ],
      },
    },
  };
}

function scaleOf(names: readonly string[]): { domain: string[]; range: string[] } {
  return { domain: [...names], range: names.map((name) => COLOURS[STRATEGIES.indexOf(name)] ?? "#222") };
}

function downtime(moved: readonly Moved[]): Picture {
  const all = typical(moved);
  const order = [...new Set(all.flatMap((one) => one.pause.map(({ name }) => name)))];
  const values = all.flatMap((one) =>
    one.pause.map(({ name, ms }, i) => ({
      setting: settingOf(one),
      strategy: one.strategy,
      part: name,
      order: i,
      ms,
    })),
  );
  const y = { field: "strategy", type: "nominal" as const, title: null, sort: STRATEGIES };
  return {
    name: "downtime",
    title: "Where the downtime goes",
    explanation:
      "From the freeze at the source to running at the destination, by the trace of the migration; each part ends where the next begins. Mind that every setting has a scale of its own.",
    spec: {
      data: { values },
      facet: { field: "setting", type: "nominal", header: { title: null } },
      columns: COLUMNS,
      resolve: { scale: { x: "independent", y: "independent" } },
      spec: {
        width: 330,
        height: { step: 24 },
        layer: [
          {
            mark: "bar",
            encoding: {
              y,
              x: { field: "ms", type: "quantitative", title: "ms", stack: "zero" },
              order: { field: "order", type: "quantitative" },
              color: {
                field: "part",
                type: "nominal",
                scale: { domain: order, range: PART_COLOURS.slice(0, order.length) },
                legend: { columns: 3 },
              },
            },
          },
          {
            mark: { type: "text", align: "left", dx: 5 },
            encoding: {
              y,
              x: { aggregate: "sum", field: "ms", type: "quantitative", title: "ms" },
              text: { aggregate: "sum", field: "ms", type: "quantitative", format: ",.0f" },
            },
          },
        ],
      },
    },
  };
}

interface HostFigure {
  readonly name: string;
  readonly title: string;
  readonly explanation: string;
  readonly unit: string;
  pick(host: Moved["source"]): readonly Point[];
}

function orderOf(moved: readonly Moved[]): string[] {
  const settings = [...new Set(moved.map(settingOf))];
  return settings.flatMap((setting) => STRATEGIES.map((strategy) => `${setting}: ${strategy}`));
}

function hosts(moved: readonly Moved[], figure: HostFigure): Picture {
  const values = typical(moved).flatMap((one) =>
    (["source", "destination"] as const).flatMap((role) =>
      figure
        .pick(one[role])
        .filter(near)
        .map(([at, value]) => ({
          shown: `${settingOf(one)}: ${one.strategy}`,
          role,
          at,
          value,
        })),
    ),
  );
  return {
    name: figure.name,
    title: figure.title,
    explanation: figure.explanation,
    spec: {
      data: { values },
      // By one field: a grid misplaces what is there when a combination is missing.
      facet: { field: "shown", type: "nominal", header: { title: null }, sort: orderOf(moved) },
      columns: HOST_COLUMNS,
      resolve: { scale: { y: "independent" } },
      spec: {
        width: 300,
        height: 100,
        mark: LINE,
        encoding: {
          x: FROM_FREEZE,
          y: { field: "value", type: "quantitative", title: figure.unit },
          color: {
            field: "role",
            type: "nominal",
            scale: { domain: ["source", "destination"], range: ["#c58b2a", "#1f7a4d"] },
          },
        },
      },
    },
  };
}

const CPU: HostFigure = {
  name: "processors",
  title: "Processor time of both hosts",
  explanation:
    "Everything on each host, the container included, per 100 ms. Both hosts share the processors of one machine.",
  unit: "processors",
  pick: (host) => host.cpus,
};

const MEMORY: HostFigure = {
  name: "memory",
  title: "Memory of both hosts",
  explanation: "Of each host's control group, above what it was when the case began, page cache included.",
  unit: "MB",
  pick: (host) => host.megabytes,
};

export function pictures(moved: readonly Moved[]): Picture[] {
  return moved.length === 0
    ? []
    : [throughput(moved), downtime(moved), hosts(moved, CPU), hosts(moved, MEMORY)];
}
