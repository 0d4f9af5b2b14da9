import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { argumentsOf, findSources } from "../../../runtime/cli/bench.js";
import { CliError } from "../../../runtime/cli/exit.js";

describe("pclive bench", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pclive-bench-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function makeSources(name = "pclive", built = true): void {
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name }));
    mkdirSync(join(folder, "test/bench"), { recursive: true });
    if (!built) return;
    mkdirSync(join(folder, "build/js/test/bench"), { recursive: true });
    writeFileSync(join(folder, "build/js/test/bench/main.js"), "");
  }

  function remedyOf(places: string[]): string {
    try {
      findSources(places);
    } catch (error) {
      assert.ok(error instanceof CliError);
      return error.remedy;
    }
    return assert.fail("it found something");
  }

  it("is the evaluation, unless another one is named", () => {
    assert.deepEqual(argumentsOf([]), ["evaluation"]);
    assert.deepEqual(argumentsOf(["--full", "--out", "x"]), ["evaluation", "--full", "--out", "x"]);
    assert.deepEqual(argumentsOf(["downtime", "--quick"]), ["downtime", "--quick"]);
  });

  it("finds the sources above where it is asked, in the order of the places", () => {
    makeSources();
    const deep = join(folder, "build/dist/lib");
    mkdirSync(deep, { recursive: true });
    assert.equal(findSources(["/", deep]), folder);
  });

  it("says what to do where there are no sources, those of another project, or none that are built", () => {
    assert.match(remedyOf([folder]), /--source/);
    makeSources("another", false);
    assert.match(remedyOf([folder]), /--source/);
    makeSources("pclive", false);
    assert.match(remedyOf([folder]), /make build/);
  });
});
