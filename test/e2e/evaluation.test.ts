/** The evaluation's own parts, on one small case; and containers like those it has found trouble with. */
import assert from "node:assert/strict";
import { draw } from "../bench/draw.js";
import { measure } from "../bench/evaluation/measure.js";
import { pictures } from "../bench/evaluation/pictures.js";
import { WORKLOADS } from "../bench/evaluation/plan.js";
import { migrateOrThrow } from "../lib/migrate.js";
import { RUNTIME, removeScript } from "../lib/redis.js";
import { assertRuns, theLab } from "./setup.js";

describe("evaluation", function () {
  this.timeout(120_000);

  it("measures a program that checks its memory, and draws what it measured", async () => {
    const lab = await theLab();
    const test = { workload: "memhog", memoryMb: 32, linkMbit: 10_000, strategy: "pipelined", repetition: 1 };
    const moved = await measure(lab, test, 9000).finally(() => lab.shape("off"));
    assert.equal(moved.complaint, undefined);
    assert.ok(moved.gapMs > 0 && moved.downtimeMs > 0 && moved.wireBytes > 16e6, JSON.stringify(moved));
    const parts = moved.pause.reduce((sum, part) => sum + part.ms, 0);
    assert.ok(parts > 0.8 * moved.downtimeMs, `${parts} of ${moved.downtimeMs} ms are explained`);
    assert.ok(moved.throughput.after > 0 && moved.source.cpus.length > 10 && moved.destination.cpuMs > 0);
    for (const { spec } of pictures([moved])) {
      const { svg, png } = await draw(spec);
      assert.match(svg, /^<svg[\s\S]*memhog, 32 MB[\s\S]*<\/svg>/);
      assert.equal(png.subarray(1, 4).toString(), "PNG");
    }
  });

  for (const workload of ["mariadb-rw", "mariadb-own"]) {
    it(`moves a database under load: ${workload}`, async function () {
      this.timeout(900_000); // the first makes the image
      const lab = await theLab();
      await WORKLOADS[workload]?.prepare?.(lab);
      const test = { workload, memoryMb: 32, linkMbit: 10_000, strategy: "pipelined", repetition: 1 };
      const moved = await measure(lab, test, 9001).finally(() => lab.shape("off"));
      assert.equal(moved.complaint, undefined);
      assert.ok(moved.throughput.after > 0, "it answers at the destination");
    });
  }

  it("moves a program that has put /dev/null in place of its standard input", async () => {
    const lab = await theLab();
    const id = "e2e-stdin";
    const program = ["sh", "-c", "exec sleep 1000000 </dev/null"];
    await lab.exec("a", ["ctr", "run", "-d", "--runtime", RUNTIME, lab.imageRef("base"), id, ...program]);
    try {
      await migrateOrThrow(lab, "a", id, "b");
      await assertRuns(lab, "b", id);
      await migrateOrThrow(lab, "b", id, "a", { strategy: "precopy" });
      await assertRuns(lab, "a", id);
    } finally {
      for (const host of ["a", "b"]) await lab.exec(host, ["sh", "-c", removeScript(id)]);
    }
  });
});
