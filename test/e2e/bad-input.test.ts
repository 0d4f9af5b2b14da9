/**
 * Wrong requests get one clear error, a remedy and an exit code; the container does not miss a beat.
 */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { migrate } from "../lib/migrate.js";
import { RedisContainer, RUNTIME, removeScript } from "../lib/redis.js";
import { assertEmpty, assertRuns, freshAddress, theLab } from "./setup.js";

const ID = "e2e-bad";

async function refusedWith(
  lab: Lab,
  words: { id?: string; to?: string },
  exitCode: number,
  message: RegExp,
): Promise<void> {
  const result = await migrate(lab, "a", words.id ?? ID, words.to ?? "b");
  assert.equal(result.report, undefined, "it was moved");
  assert.match(result.stderr, message);
  assert.match(result.stderr, /try: \S/, `no remedy in: ${result.stderr}`);
  assert.equal(result.exitCode, exitCode, result.stderr);
}

describe("bad input", function () {
  this.timeout(120_000);
  let lab: Lab;
  let redis: RedisContainer;

  before(async () => {
    lab = await theLab();
    redis = await RedisContainer.start(lab, "a", {
      id: ID,
      address: freshAddress(),
      memoryMb: 20,
      valueBytes: 1024,
    });
    await redis.populate();
  });

  afterEach(async () => {
    await assertRuns(lab, "a", ID);
    await redis.verify();
  });

  after(async () => {
    await redis.remove("a");
    await assertEmpty(lab, "a");
    await assertEmpty(lab, "b");
  });

  it("an unknown container", () => refusedWith(lab, { id: "no-such-container" }, 6, /no-such-container/));
  it("a host that nobody knows", () => refusedWith(lab, { to: "nowhere.invalid" }, 4, /nowhere\.invalid/));
  it("a host without an agent", () => refusedWith(lab, { to: "10.10.0.77" }, 4, /10\.10\.0\.77/));

  it("a name that is taken at the destination", async () => {
    await lab.exec("b", ["ctr", "image", "import", "/repo/build/images/redis.tar"], { timeoutMs: 60_000 });
    await lab.exec("b", ["ctr", "container", "create", await lab.imageRef("redis"), ID]);
    try {
      await refusedWith(lab, {}, 3, /already/);
    } finally {
      await lab.exec("b", ["sh", "-c", `ctr container rm ${ID}; ctr snapshot rm ${ID}; true`]);
    }
  });

  it("a container that CRIU cannot dump", async () => {
    const id = "e2e-uring";
    await lab.exec("a", ["ctr", "run", "-d", "--runtime", RUNTIME, lab.imageRef("uring"), id]);
    try {
      await refusedWith(lab, { id }, 3, /io_uring/);
      await assertRuns(lab, "a", id);
    } finally {
      await lab.exec("a", ["sh", "-c", removeScript(id)], { timeoutMs: 60_000 });
    }
  });

  it("a certificate of another authority", async () => {
    await lab.exec("b", [
      "sh",
      "-c",
      "cp -a /etc/pclive/tls /etc/pclive/tls.good && pclive certs b=10.10.0.2 --out /tmp/other && cp /tmp/other/ca.crt /tmp/other/b/host.* /etc/pclive/tls/",
    ]);
    try {
      await lab.kill("b", "pclived");
      await lab.start("b", "pclived");
      await refusedWith(lab, {}, 4, /certificate|authority/i);
    } finally {
      await lab.exec("b", ["sh", "-c", "rm -rf /etc/pclive/tls && mv /etc/pclive/tls.good /etc/pclive/tls"]);
      await lab.kill("b", "pclived");
      await lab.start("b", "pclived");
    }
  });

  it("a local agent that is down", async () => {
    await lab.kill("a", "pclived");
    try {
      await refusedWith(lab, {}, 4, /no agent answers/);
    } finally {
      await lab.start("a", "pclived");
    }
  });

  it("wrong words on the command line", async () => {
    const result = await migrate(lab, "a", ID, "b", { downtime: "soon" });
    assert.equal(result.exitCode, 2);
    assert.match(result.stderr, /--downtime soon/);
  });
});
