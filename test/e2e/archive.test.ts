/** Checkpoints as streams and files: what comes out of them is what went in, and a damaged one is found before anything is made. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Readable } from "node:stream";
import type { Lab } from "../lab/lab.js";
import { endTask } from "../lib/checkpoint.js";
import { RedisContainer } from "../lib/redis.js";
import { assertRuns, freshAddress, theLab } from "./setup.js";

const PLACE = "/tmp/archives";
const STREAMS = "/var/lib/pclive/streams";

describe("checkpoint archives", function () {
  this.timeout(120_000);
  const id = "e2e-archive";
  let lab: Lab;
  let redis: RedisContainer;
  let digest = "";
  let recipient = "";
  const sh = (script: string) =>
    lab.exec("a", ["bash", "-o", "pipefail", "-c", `cd ${PLACE}; ${script}`], {
      timeoutMs: 60_000,
      allowFailure: true,
    });
  const done = async (script: string) => {
    const { code, stdout, stderr } = await sh(script);
    assert.equal(code, 0, `${script}: ${stderr}`);
    return stdout;
  };
  const take = `pclive checkpoint ${id} --tcp-established`;
  const restore = `pclive restore ${id}`;
  const nothingLeft = async () => assert.equal(await done(`ls -A ${STREAMS}`), "");
  /** Runs again, with the memory that it had. */
  async function runsAsBefore(): Promise<void> {
    await assertRuns(lab, "a", id);
    assert.equal(await redis.digest(), digest);
    await nothingLeft();
  }
  before(async () => {
    lab = await theLab();
    await lab.exec("a", ["mkdir", "-p", PLACE]);
    const options = { id, address: freshAddress(), memoryMb: 60, valueBytes: 4096 };
    redis = await RedisContainer.start(lab, "a", options);
    await redis.populate();
    digest = await redis.digest();
    recipient = (await done("pclive keygen key && pclive keygen other >/dev/null && head -1 key")).split(
      "\n",
    )[0] as string;
  });
  after(async () => {
    await redis?.remove("a");
    await lab.exec("a", ["sh", "-c", `rm -rf ${PLACE} ${STREAMS}/*`]);
  });

  it("a stream: any tar lists it, and pclive restores it from a pipe, with its connections", async () => {
    const client = lab.spawn("c", ["redis-cli", "-h", redis.options.address, "subscribe", "news"]);
    await once(client.stdout as Readable, "data");
    await done(`${take} --to - | cat >plain`);
    lab.signal(client, "SIGKILL");
    const names = (await done("tar -tf plain")).split("\n");
    assert.equal(names[0], "pclive.json");
    assert.ok(names.includes("inventory.img") && names.includes("pages-1.img"));
    await runsAsBefore();
    await endTask(lab, "a", id);
    await done(`cat plain | ${restore} --from -`);
    await runsAsBefore();
  });

  it("again at once, while TCP still keeps the ends of the connections of before", async () => {
    await endTask(lab, "a", id);
    await done(`cat plain | ${restore} --from -`);
    await runsAsBefore();
  });

  it("a file, compressed and encrypted for a key", async () => {
    await done(`${take} --to web.tar.zst.age --encrypt-to ${recipient}`);
    assert.match(
      await done("head -c 21 web.tar.zst.age; stat -c %a web.tar.zst.age"),
      /^age-encryption.org\/v1600$/m,
    );
    await endTask(lab, "a", id);
    await done(`${restore} --from web.tar.zst.age --identity key`);
    await runsAsBefore();
  });

  it("encrypted with a passphrase", async () => {
    await done(`echo horse staple >words; chmod 600 words; ${take} --to web.tar.age --passphrase-file words`);
    await endTask(lab, "a", id);
    await done(`${restore} --from - --passphrase-file words <web.tar.age`);
    await runsAsBefore();
  });

  const damages: Readonly<Record<string, readonly [script: string, said: RegExp]>> = {
    "cut off": [`head -c 20000000 plain | ${restore} --from -`, /damaged.*cut off|truncated/i],
    "with a flipped bit": [
      `cp plain bad; printf x | dd of=bad bs=1 seek=30000000 conv=notrunc; ${restore} --from bad`,
      /contents of pages-1\.img/,
    ],
    "that is none": [`echo nonsense | ${restore} --from -`, /damaged|no archive/],
    "encrypted, cut off": [
      `head -c -100 web.tar.zst.age >bad; ${restore} --from bad --identity key`,
      /damaged or cut off/,
    ],
    "for another key": [
      `${restore} --from web.tar.zst.age --identity other`,
      /cannot be opened with this key/,
    ],
    "without a key": [`${restore} --from web.tar.zst.age`, /is encrypted\n {2}try: name the key/],
    "with a key for everybody to read": [
      `chmod 644 key; ${restore} --from web.tar.zst.age --identity key`,
      /can be read by others\n {2}try: chmod 600/,
    ],
  };
  describe("refused before anything is made: an archive", () => {
    before(() => endTask(lab, "a", id));
    for (const [name, [script, said]] of Object.entries(damages)) {
      it(name, async () => {
        const { code, stderr } = await sh(script);
        assert.ok(code === 1 || code === 2, `${code}`);
        assert.match(stderr, said);
        assert.doesNotMatch((await lab.exec("a", ["ctr", "task", "ls", "-q"])).stdout, new RegExp(id));
        await nothingLeft();
      });
    }
    after(async () => {
      await done(`chmod 600 key; ${restore} --from plain`);
      await runsAsBefore();
    });
  });

  it("with --exit, a pipe that breaks loses nothing", async () => {
    const { code, stderr } = await sh(`${take} --exit --to - | head -c 1000 >/dev/null`);
    assert.notEqual(code, 0);
    const folder = /the image is whole in (\S+):/.exec(stderr)?.[1] ?? assert.fail(stderr);
    await done(`${restore} --from ${folder}; rm -r ${folder}`);
    await runsAsBefore();
  });

  it("words that contradict each other are told so", async () => {
    for (const flags of [
      "--to web.tar.age",
      "--to folder --compress zstd",
      `--to x.tar --encrypt-to ${recipient}`,
    ]) {
      assert.equal((await sh(`${take} ${flags}`)).code, 2, flags);
    }
    assert.equal((await sh(`${take} --to - --encrypt-to age1nonsense >/dev/null`)).code, 2);
    await runsAsBefore();
  });
});
