/** Two shims beside each other on a host: the stock one and ours do the same, and the results are compared. */
import type { Lab } from "../lab/lab.js";

const PROBE_MS = 120_000;
export const STOCK = "/usr/bin/containerd-shim-runc-v2";
export const OURS = "/usr/local/bin/containerd-shim-pclive-v2";

export type Results = Readonly<Record<string, unknown>>;

export interface Beside {
  readonly stock: Results;
  readonly ours: Results;
}

/** Where a host finds the probe, and what it needs to run. */
export interface ProbePlace {
  readonly probe: string;
  readonly env: readonly string[];
}

export const IN_LAB: ProbePlace = { probe: "/repo/build/js/test/kernel/probe.js", env: [] };

export async function runBeside(
  lab: Lab,
  host: string,
  place: ProbePlace,
  scenarios: readonly string[],
): Promise<Beside> {
  return {
    stock: await runProbe(lab, host, place, STOCK, scenarios),
    ours: await runProbe(lab, host, place, OURS, scenarios),
  };
}

export async function runProbe(
  lab: Lab,
  host: string,
  place: ProbePlace,
  shim: string,
  scenarios: readonly string[],
): Promise<Results> {
  const argv = ["env", ...place.env, "node", place.probe, shim, ...scenarios];
  const { stdout } = await lab.exec(host, argv, { timeoutMs: PROBE_MS });
  return JSON.parse(stdout) as Results;
}
