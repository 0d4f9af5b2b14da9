/** What touches the kernel, done by the stock shim and by ours on one host: the results must be alike. */
import assert from "node:assert/strict";
import { type Beside, OURS, runBeside, runProbe } from "../kernel/beside.js";
import { differences } from "../kernel/compare.js";
import type { Lab } from "../lab/lab.js";
import { PATIENCE } from "../lib/patience.js";
import { theLab } from "./setup.js";

describe("kernel, beside the stock shim", function () {
  this.timeout(180_000 * PATIENCE);
  let lab: Lab;
  before(async () => {
    lab = await theLab();
  });

  async function same(...scenarios: string[]): Promise<Beside> {
    const results = await runBeside(lab, "a", scenarios);
    assert.deepEqual(results.ours, results.stock);
    return results;
  }

  it("tells the same figures, before, during and after", async () => {
    const { stock, ours } = await runBeside(lab, "a", ["stats", "statsUnlimited"]);
    assert.deepEqual(differences(stock, ours), []);
    assert.match(JSON.stringify(ours), /"type":"io\.containerd\.cgroups\.v[12]\.Metrics"/);
  });

  it("tells of running out of memory as often", async () => {
    const { ours } = await same("oomOfInit", "oomOfChildren");
    assert.deepEqual(ours.oomOfChildren, { ooms: 2 });
  });

  it("tells of it for the right one of a group, and leaves no watch behind", async () => {
    const { ours } = await same("oomInGroup");
    assert.deepEqual(ours.oomInGroup, { ooms: [1, 1, 1], calm: 0 });
    // The stock shim drops its watches late.
    const { oomWatchesEnd } = await runProbe(lab, "a", OURS, ["oomWatchesEnd"]);
    assert.deepEqual(oomWatchesEnd, { grown: false });
  });

  it("does the same with a container that stands still", async () => {
    await same("pausedCalls", "pausedKill");
    const { pausedCheckpoint } = await runProbe(lab, "a", OURS, ["pausedCheckpoint"]);
    assert.deepEqual(pausedCheckpoint, { checkpointed: "ok", status: 4 });
  });
});
