/** Checkpoints that another host keeps: all that a restore needs is there, or nothing is; and the container runs on whatever fails. */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { RedisContainer } from "../lib/redis.js";
import { until } from "../lib/until.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

const CACHE = "/var/lib/pclive/cache";
const OUTGOING = "/var/lib/pclive/outgoing";

describe("checkpoints at a peer", function () {
  this.timeout(120_000);
  const id = "e2e-cache";
  let lab: Lab;
  let redis: RedisContainer;
  let digest = "";
  const run = (host: string, script: string) =>
    lab.exec(host, ["sh", "-c", script], { timeoutMs: 60_000, allowFailure: true });
  const done = async (host: string, script: string) => {
    const { code, stdout, stderr } = await run(host, script);
    assert.equal(code, 0, `${script}: ${stderr}`);
    return stdout;
  };
  const take = `pclive checkpoint ${id} --tcp-established --to peer:b`;
  const kept = async () =>
    (JSON.parse(await done("b", "pclive images --json")) as { images: { name: string }[] }).images.map(
      ({ name }) => name,
    );
  /** At either end: nothing that is not complete. */
  async function nothingHalf(names: readonly string[]): Promise<void> {
    await until(async () => (await done("a", `ls -A ${OUTGOING}`)) === "", 15_000);
    const folders = names.map((name) => `${name.replaceAll("/", "@")}\n`).join("");
    await until(async () => (await done("b", `mkdir -p ${CACHE}; ls -A ${CACHE}`)) === folders, 15_000);
    assert.deepEqual(await kept(), names);
  }
  async function runsOn(names: readonly string[]): Promise<void> {
    await assertRuns(lab, "a", id);
    assert.equal(await redis.digest(), digest);
    await nothingHalf(names);
  }
  /** A checkpoint over a slow link, and what shall happen while it is sent. */
  async function meanwhile(flags: string, happens: () => Promise<unknown>): Promise<string> {
    await lab.shape(100);
    const child = lab.spawn("a", ["sh", "-c", `${take}/half ${flags}`]);
    let said = "";
    const ended = new Promise((resolve) => child.once("close", resolve));
    const sending = new Promise<void>((resolve) => {
      child.stdout?.on("data", (chunk: Buffer) => {
        if (chunk.toString().includes("send: ")) resolve();
      });
    });
    child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
    await Promise.race([sending, ended]);
    await happens();
    assert.notEqual(await ended, 0);
    await lab.shape("off");
    return said;
  }
  before(async () => {
    lab = await theLab();
    redis = await RedisContainer.start(lab, "a", {
      id,
      address: freshAddress(),
      memoryMb: 60,
      valueBytes: 4096,
    });
    await redis.populate();
    digest = await redis.digest();
    await done("a", `ctr t exec --exec-id files ${id} sh -c 'echo kept >/data/word; rm /etc/passwd'`);
  });
  after(async () => {
    await lab.shape("off");
    for (const host of ["a", "b"]) await redis?.remove(host);
    await run("b", "for i in $(ls /var/lib/pclive/cache); do pclive images rm $i; done");
  });

  it("is kept there under its name, while the container runs on", async () => {
    await done("a", `${take}/nightly/one`);
    await runsOn(["nightly/one"]);
    await done("a", `${take}/nightly/one`);
    await runsOn(["nightly/one"]);
  });

  it("refused: a name that is none, another container's, no room", async () => {
    const fails = async (script: string, code: number, said: RegExp) => {
      const result = await run("a", script);
      assert.match(result.stderr, said);
      assert.equal(result.code, code, script);
      await runsOn(["nightly/one"]);
    };
    await fails(`${take}/../x`, 2, /no place at a peer/);
    await fails(`${take}/standby/default/other`, 2, /is kept for a standby/);
    await fails("pclive checkpoint nobody --to peer:b", 6, /no container nobody/);
    const config = "/etc/pclive/config.json";
    const limited = async (bytes: string) => {
      await done("b", `sed -i 's/^{.*/{${bytes}/' ${config}`);
      await lab.kill("b", "pclived", "TERM");
      await lab.start("b", "pclived");
    };
    await limited('"cache": {"maxBytes": 70000000},');
    await fails(`${take}/second --exit`, 3, /the cache is full/);
    await limited("");
  });

  it("the peer's agent is killed half-way: nothing stays, and the container runs on", async () => {
    const said = await meanwhile("", async () => {
      await lab.kill("b", "pclived");
      await lab.start("b", "pclived");
    });
    assert.match(said, /b does not answer|b failed|hung up/);
    await runsOn(["nightly/one"]);
  });

  it("the own agent is killed while the container stands still for its end: it goes on", async () => {
    await meanwhile("--exit", async () => {
      assert.match(await done("a", "ctr t ls"), new RegExp(`${id} .*PAUSED`));
      await lab.kill("a", "pclived");
      await lab.start("a", "pclived");
    });
    await until(async () => (await done("a", "ctr t ls")).includes("RUNNING"), 15_000);
    await runsOn(["nightly/one"]);
  });

  it("with --exit the container ends when all is there, and is made anew by the peer alone", async () => {
    await done("a", `${take}/last --exit`);
    assert.match(await done("a", "ctr t ls"), new RegExp(`${id} .*STOPPED`));
    await nothingHalf(["last", "nightly/one"]);
    await redis.remove("a");
    await lab.kill("a", "pclived");
    try {
      assert.match(await done("b", "pclive restore --from cache:last"), new RegExp(`${id} runs`));
    } finally {
      await lab.start("a", "pclived");
    }
    await assertRuns(lab, "b", id);
    assert.equal(await redis.digest(), digest);
    const look = "cat /data/word; ls /etc/passwd 2>/dev/null; true";
    assert.equal(await done("b", `ctr t exec --exec-id look ${id} sh -c '${look}'`), "kept\n");
  });

  it("what runs is not restored over; what fails leaves nothing; what is not wanted any more goes", async () => {
    assert.equal((await run("b", "pclive restore --from cache:last")).code, 3);
    const failed = await run("b", "pclive restore --from cache:last --name twin --netns /run/netns/none");
    assert.match(failed.stderr, /could not be restored/);
    assert.doesNotMatch(await done("b", "ctr c ls; ctr snapshot ls; ls /var/lib/pclive/making"), /twin|json/);
    await done("b", "pclive images rm last && pclive images rm nightly/one");
    assert.equal((await run("b", "pclive restore --from cache:last")).code, 6);
    await nothingHalf([]);
  });
});
