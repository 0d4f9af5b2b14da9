/** Two shims beside each other on a host: the stock one and ours do the same, and the results are compared. */
import type { Lab } from "../lab/lab.js";
import { PATIENCE } from "../lib/patience.js";

const PROBE_MS = 120_000 * PATIENCE;
const PROBE = "/repo/build/js/test/kernel/probe.js";
export const STOCK = "/usr/bin/containerd-shim-runc-v2";
export const OURS = "/usr/local/bin/containerd-shim-pclive-v2";

export type Results = Readonly<Record<string, unknown>>;

export interface Beside {
  readonly stock: Results;
  readonly ours: Results;
}

export async function runBeside(lab: Lab, host: string, scenarios: readonly string[]): Promise<Beside> {
  return {
    stock: await runProbe(lab, host, STOCK, scenarios),
    ours: await runProbe(lab, host, OURS, scenarios),
  };
}

export async function runProbe(
  lab: Lab,
  host: string,
  shim: string,
  scenarios: readonly string[],
): Promise<Results> {
  const argv = ["env", `PCLIVE_TEST_PATIENCE=${PATIENCE}`, "node", PROBE, shim, ...scenarios];
  const { stdout } = await lab.exec(host, argv, { timeoutMs: PROBE_MS });
  return JSON.parse(stdout) as Results;
}
