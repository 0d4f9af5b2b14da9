/** The shim's own cgroup, in whichever version this machine has. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";
const MODULE = import.meta.resolve("../../../shim/cli/cgroup.js");

/** @returns what another process, which tries to join, tells of its cgroups then */
function joined(path: string): string[] {
  const script = `
    import { readFileSync } from "node:fs";
    import { joinShimCgroup } from ${JSON.stringify(MODULE)};
    joinShimCgroup(${JSON.stringify(path)});
    process.stdout.write(readFileSync("/proc/self/cgroup"));`;
  const args = ["--input-type=module", "-e", script];
  const text = execFileSync(process.execPath, args, { encoding: "utf8", stdio: "pipe" });
  return text.trim().split("\n");
}

describe("the shim's cgroup", () => {
  const name = `pclive-shim-test-${process.pid}`;
  const folders = () =>
    [ROOT, ...readdirSync(ROOT).map((hierarchy) => join(ROOT, hierarchy))]
      .map((hierarchy) => join(hierarchy, name))
      .filter((folder) => existsSync(folder));
  afterEach(() => {
    for (const folder of folders()) {
      rmdirSync(join(folder, "deep"));
      rmdirSync(folder);
    }
  });

  it("is made, with what is above it, wherever something is accounted", () => {
    const lines = joined(`/${name}/deep`);
    const path = (line: string) => line.split(":").slice(2).join(":");
    const inside = lines.filter((line) => path(line).endsWith(`/${name}/deep`));
    const unified = existsSync(join(ROOT, "cgroup.procs"));
    const accounting = lines.filter((line) => (unified ? /^0::/ : /^[1-9]\d*:[a-z]/).test(line));
    assert.deepEqual(
      inside,
      accounting.filter((line) => !line.includes(":name=")),
    );
    assert.equal(folders().length, inside.length);
  });

  it("is refused outside of the hierarchy", () => {
    assert.throws(() => joined("/../elsewhere"), /leaves the hierarchy/);
  });
});
