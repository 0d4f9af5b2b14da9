/** Running out of memory where cgroup version 2 accounts for it; version 1 is test/unit/addon/process.test.ts. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { watchMemory } from "../../../shim/container/oom.js";
import { until } from "../../lib/until.js";

const run = promisify(execFile);
const ROOT = "/sys/fs/cgroup";
const CONTROLLERS = join(ROOT, "cgroup.controllers");
const accountsMemory = existsSync(CONTROLLERS) && /\bmemory\b/.test(readFileSync(CONTROLLERS, "utf8"));

describe("out of memory", () => {
  it("is not watched without accounting", () => {
    const folders = { controllers: new Map<string, string>(), unified: undefined };
    for (const version of [1, 2] as const)
      assert.equal(
        watchMemory({ ...folders, version }, () => {}),
        undefined,
      );
  });

  if (accountsMemory) {
    it("is told once for each kill in a version 2 control group", async () => {
      const group = join(ROOT, `pclive-oom-test-${process.pid}`);
      writeFileSync(join(ROOT, "cgroup.subtree_control"), "+memory");
      mkdirSync(group);
      try {
        writeFileSync(join(group, "memory.max"), String(16 << 20));
        let count = 0;
        const watch = watchMemory({ controllers: new Map(), unified: group, version: 2 }, () => {
          count += 1;
        });
        // Without a line's end in its input it keeps all of it.
        const greedy = `echo $$ > ${group}/cgroup.procs; exec tail /dev/zero`;
        for (const kills of [1, 2]) {
          await assert.rejects(run("sh", ["-c", greedy]), { signal: "SIGKILL" });
          await until(() => count === kills);
        }
        watch?.check();
        assert.equal(count, 2);
        watch?.stop();
        watch?.stop();
      } finally {
        rmdirSync(group);
      }
    }).timeout(20_000);
  }
});
