/** A restore that waits for what it cannot have does not keep the container standing still: it goes on where it was. */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { migrate } from "../lib/migrate.js";
import { RUNTIME, removeScript } from "../lib/redis.js";
import { SHARED, shareFolder } from "../lib/shared-folder.js";
import { assertEmpty, assertRuns, theLab } from "./setup.js";

describe("a file lock on storage that both hosts see", function () {
  this.timeout(120_000);
  const id = "e2e-lock";
  let lab: Lab;

  before(async () => {
    lab = await theLab();
    await shareFolder(lab);
    const mounts = [SHARED, "/usr/bin/flock"].flatMap((path) => [
      "--mount",
      `type=bind,src=${path},dst=${path},options=rbind`,
    ]);
    // It prints what it has done with the lock held.
    const program = `exec 9>${SHARED}/${id}; flock 9; while sleep .1; do echo >>${SHARED}/${id}; done`;
    await lab.exec("a", [
      ...["ctr", "run", "-d", "--runtime", RUNTIME, ...mounts],
      ...[lab.imageRef("redis"), id, "sh", "-c", program],
    ]);
  });
  after(async () => {
    for (const host of ["a", "b"])
      await lab.exec(host, ["sh", "-c", removeScript(id)], { timeoutMs: 60_000 });
    await lab.exec("a", ["rm", "-f", `${SHARED}/${id}`]);
  });

  const size = async () => Number((await lab.exec("a", ["stat", "-c", "%s", `${SHARED}/${id}`])).stdout);

  it("is told, and the container runs on at the source", async () => {
    const { exitCode, stderr } = await migrate(lab, "a", id, "b");
    assert.equal(exitCode, 1, stderr);
    assert.match(stderr, /has not restored the container within 20 s/);
    assert.match(stderr, /file lock/);
    await assertRuns(lab, "a", id);
    const before = await size();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.ok((await size()) > before);
    await assertEmpty(lab, "b");
  });
});
