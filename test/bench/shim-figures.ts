/** What the shim bench measures, and what it says of it. Memory in KiB where it was read, in MB (1000² bytes) where it is told. */

/** One pair of runs, ms. */
export interface RunTime {
  readonly stock_ms: number;
  readonly pclive_ms: number;
}

/** KiB, as /proc/PID/smaps_rollup has it. `uss`: pages that no other process has. */
export interface Memory {
  readonly rss: number;
  readonly pss: number;
  readonly uss: number;
}

export interface MemoryCase {
  readonly shim: "stock" | "pclive";
  readonly containers: number;
  readonly grouped: boolean;
  /** Grouped as CRI does it. */
  readonly pod?: boolean;
  /** Processes of the shim. */
  readonly shims: number;
  /** Of all these processes together. */
  readonly total: Memory;
}

export interface HostFigures {
  readonly runs: readonly RunTime[];
  readonly memory: readonly MemoryCase[];
  readonly containerd: string;
  readonly runc: string;
}

export interface ShimFigures {
  /** Median of `ctr run --rm` with our shim ÷ the same with the stock shim. */
  readonly run_ratio: number;
  /** Median of the ratios of the pairs. */
  readonly run_ratio_paired: number;
  readonly run_ms: Readonly<Record<"stock" | "pclive", Spread>>;
  readonly pairs: number;
  /** A shim with one container. */
  readonly uss_first_mb: number;
  /** What each further container adds to a shim that serves a group. */
  readonly uss_each_mb: number;
  readonly rss_first_mb: number;
  readonly stock_uss_mb: number;
  readonly stock_rss_mb: number;
  readonly memory: readonly MemoryCase[];
  readonly containerd: string;
  readonly runc: string;
}

export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  readonly min: number;
}

const MB_PER_KIB = 1024 / 1e6;
const round = (value: number, digits = 2) => Number(value.toFixed(digits));

function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => round(sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN, 1);
  return { median: at(0.5), p10: at(0.1), p90: at(0.9), min: at(0) };
}

export function figuresOf(host: HostFigures): ShimFigures {
  const stock = spreadOf(host.runs.map((pair) => pair.stock_ms));
  const pclive = spreadOf(host.runs.map((pair) => pair.pclive_ms));
  const total = (shim: MemoryCase["shim"], containers: number, grouped: boolean): Memory => {
    const found = host.memory.find(
      (each) => each.shim === shim && each.containers === containers && each.grouped === grouped && !each.pod,
    );
    if (!found) throw new Error(`no figures of ${shim} with ${containers} containers`);
    return found.total;
  };
  const [one, many] = [total("pclive", 1, true), total("pclive", 50, true)];
  return {
    run_ratio: round(pclive.median / stock.median),
    run_ratio_paired: round(
      [...host.runs].map((pair) => pair.pclive_ms / pair.stock_ms).sort((a, b) => a - b)[
        host.runs.length >> 1
      ] ?? 0,
    ),
    run_ms: { stock, pclive },
    pairs: host.runs.length,
    uss_first_mb: round(total("pclive", 1, false).uss * MB_PER_KIB),
    uss_each_mb: round(((many.uss - one.uss) / 49) * MB_PER_KIB),
    rss_first_mb: round(total("pclive", 1, false).rss * MB_PER_KIB),
    stock_uss_mb: round(total("stock", 1, false).uss * MB_PER_KIB),
    stock_rss_mb: round(total("stock", 1, false).rss * MB_PER_KIB),
    memory: host.memory,
    containerd: host.containerd,
    runc: host.runc,
  };
}

/** Markdown, for a person and for docs/. */
export function tableOf(figures: ShimFigures): string {
  const { run_ms: runs } = figures;
  const time = (of: Spread) => `${of.median} (${of.p10}–${of.p90})`;
  const rows = figures.memory.map((each) => {
    const kind = each.pod ? "pod of 5" : `${each.containers}${each.grouped ? ", one group" : ""}`;
    const mb = (kib: number) => round(kib * MB_PER_KIB, 1).toFixed(1);
    const { rss, pss, uss } = each.total;
    return `| ${each.shim} | ${kind} | ${each.shims} | ${mb(rss)} | ${mb(pss)} | ${mb(uss)} |`;
  });
  return [
    `ctr run --rm … true, median (p10–p90) of ${figures.pairs} pairs: stock ${time(runs.stock)} ms, pclive ${time(runs.pclive)} ms, ratio ${figures.run_ratio}`,
    "",
    "| shim | containers | processes | RSS MB | PSS MB | USS MB |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
    `one container: USS ${figures.uss_first_mb} MB; each further one of a group: ${figures.uss_each_mb} MB`,
    `${figures.containerd}; ${figures.runc}`,
  ].join("\n");
}
