import assert from "node:assert/strict";
import { closeSync, openSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Decrypter } from "age-encryption";
import {
  makeIdentity,
  makeSeal,
  openSeal,
  readIdentities,
  readPassphrase,
} from "../../../runtime/checkpoint/age.js";
import { packImage, unpackImage } from "../../../runtime/checkpoint/archive.js";
import { Staging } from "../../../runtime/checkpoint/staging.js";
import { sourceOf, targetOf } from "../../../runtime/cli/archive.js";

// Beside the compiled tests: build/native/engine/pclive-engine.
const LIB = new URL("../../../../native/engine", import.meta.url).pathname;

describe("archives", () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "archive-"));
    await mkdir(at("image"));
    await writeFile(at("image/inventory.img"), "inventory");
    await writeFile(at("image/pages-1.img"), Buffer.alloc(300_000, "page"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function opened<T>(name: string, flags: string, work: (stream: number) => Promise<T>): Promise<T> {
    const stream = openSync(at(name), flags);
    try {
      return await work(stream);
    } finally {
      closeSync(stream);
    }
  }
  const engine = () => ({ libDir: LIB, logFile: at("log") });

  it("encrypted for a key: a library of age opens it, and so do we", async () => {
    const recipient = await makeIdentity(at("key"));
    assert.equal((await stat(at("key"))).mode & 0o777, 0o600);
    const identities = await readIdentities(at("key"));
    const seal = await makeSeal({ kind: "recipients", recipients: [recipient] });
    await opened("a.tar.age", "w", (stream) =>
      packImage({ ...engine(), stream, from: at("image"), compress: false, seal }),
    );
    const decrypter = new Decrypter();
    for (const identity of identities) decrypter.addIdentity(identity);
    const tar = Buffer.from(await decrypter.decrypt(await readFile(at("a.tar.age"))));
    assert.equal(tar.subarray(0, 11).toString(), "pclive.json");
    await mkdir(at("back"));
    await opened("a.tar.age", "r", (stream) =>
      unpackImage({
        ...engine(),
        stream,
        to: at("back"),
        unseal: (header) => openSeal(header, { identities }),
      }),
    );
    assert.deepEqual(await readFile(at("back/pages-1.img")), await readFile(at("image/pages-1.img")));
  });

  it("encrypted with a passphrase, opened with that one only", async () => {
    const { header, key } = await makeSeal({ kind: "passphrase", passphrase: "horse" });
    assert.equal(await openSeal(header, { identities: [], passphrase: "horse" }), key);
    await assert.rejects(openSeal(header, { identities: [], passphrase: "cow" }), { code: "key" });
    await assert.rejects(openSeal(header, { identities: [] }), /is encrypted/);
  }).timeout(30_000);

  it("keys that others can read are refused, and files that hold none", async () => {
    await writeFile(at("words"), "horse\n", { mode: 0o600 });
    assert.equal(await readPassphrase(at("words")), "horse");
    await chmod(at("words"), 0o640);
    await assert.rejects(readPassphrase(at("words")), /can be read by others/);
    await chmod(at("words"), 0o600);
    await assert.rejects(readIdentities(at("words")), /holds no key/);
    await assert.rejects(readIdentities(at("nothing")), /cannot be read/);
    await assert.rejects(makeSeal({ kind: "recipients", recipients: ["age1x"] }), { code: "invalid" });
  });

  it("what the words mean", () => {
    assert.equal(targetOf("-", {}).kind, "stream");
    assert.equal(targetOf("images/web", {}).kind, "folder");
    for (const name of ["w.tar", "w.tar.zst"]) assert.equal(targetOf(name, {}).kind, "file");
    assert.equal(targetOf("w.tar.zst.age", { encryptTo: ["age1"] }).kind, "file");
    for (const [to, flags] of [
      ["w.tar.age", {}],
      ["w.tar", { passphraseFile: "f" }],
      ["w.tar", { compress: "zstd" }],
      ["w", { compress: "zstd" }],
      ["-", { compress: "lzma" }],
      ["-", { passphraseFile: "f", encryptTo: ["age1"] }],
    ] as const) {
      assert.throws(() => targetOf(to, flags as Parameters<typeof targetOf>[1]), { code: "USAGE" }, to);
    }
    assert.equal(sourceOf("-").kind, "stream");
    assert.equal(sourceOf(at("image")).kind, "folder");
    assert.equal(sourceOf(at("image/inventory.img")).kind, "file");
  });

  it("staging: what a dead owner left goes, what is kept stays", async () => {
    const streams = at("streams");
    await mkdir(join(streams, "999999999-0123456789ab"), { recursive: true });
    await mkdir(join(streams, "kept-web-0123456789ab"));
    const staging = await Staging.create(streams);
    await mkdir(staging.image);
    const kept = await staging.keep("other");
    await staging.remove();
    assert.deepEqual(
      (await readdir(streams)).sort(),
      ["kept-web-0123456789ab", kept.split("/").at(-1)].sort(),
    );
  });
});
