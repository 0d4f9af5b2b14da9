import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cache } from "../../../runtime/agent/cache/cache.js";
import { type Entry, filesOf, writeEntry } from "../../../runtime/agent/cache/entry.js";
import { cachePlace, peerPlace, standbyName } from "../../../runtime/agent/cache/name.js";
import type { AgentError } from "../../../runtime/agent/errors.js";

const code = (wanted: string) => (error: AgentError) => error.code === wanted;

describe("names in the cache", () => {
  it("places at a peer are read, and what is none is told", () => {
    assert.deepEqual(peerPlace("peer:b"), { host: "b", name: "" });
    assert.deepEqual(peerPlace("peer:[fe80::1]:7/web/1"), { host: "[fe80::1]:7", name: "web/1" });
    assert.equal(peerPlace("/peer:b"), undefined);
    for (const bad of [
      "peer:",
      "peer:/x",
      "peer:b/..",
      "peer:b/a//b",
      "peer:b/a@b",
      "peer:b/1/2/3/4/5",
      "peer:b/é",
    ])
      assert.throws(() => peerPlace(bad), code("USAGE"), bad);
    assert.equal(cachePlace("cache:standby/default/web"), standbyName("default", "web"));
    for (const bad of ["cache:", "cache:../../etc", "cache:a/\0"])
      assert.throws(() => cachePlace(bad), code("USAGE"), bad);
  });
});

describe("the cache", () => {
  const root = mkdtempSync(join(tmpdir(), "pclive-cache-"));
  const part = (name: string, bytes: number) => ({ name, parent: "", at: 1, bytes });
  const entry = (name: string, bytes: number): Entry => {
    const whose = { namespace: "default", container: "web", source: "a" };
    return { version: 1, name, ...whose, parts: [part("000002", bytes)] };
  };
  async function put(cache: Cache, name: string, bytes: number): Promise<string> {
    const folder = await cache.prepare(name);
    mkdirSync(join(folder, "000002"));
    writeFileSync(join(folder, "000002.files"), "");
    writeFileSync(join(folder, "000002.manifest"), "{}");
    await writeEntry(folder, entry(name, bytes));
    return folder;
  }
  after(() => rmSync(root, { recursive: true, force: true }));

  it("at its start takes away what is not complete, and nothing else", async () => {
    const cache = new Cache(join(root, "sweep"), 1e9);
    const folder = await put(cache, "x/web", 10);
    const whole = readdirSync(folder).sort();
    assert.deepEqual(whole, filesOf(entry("x/web", 10).parts).sort());
    mkdirSync(join(folder, "000003"));
    writeFileSync(join(folder, "000003.files"), "half");
    const unfinished = await cache.prepare("other");
    mkdirSync(join(unfinished, "000001"));
    const damaged = await put(cache, "damaged", 10);
    writeFileSync(join(damaged, "entry.json"), '{"version":1,"name":"../../etc"}');
    await cache.sweep();
    assert.deepEqual(readdirSync(folder).sort(), whole);
    assert.ok(!existsSync(unfinished) && !existsSync(damaged));
  });

  it("has a bound, of which what is arriving takes its part", async () => {
    const cache = new Cache(join(root, "bound"), 1000);
    await put(cache, "web", 400);
    const back = await cache.reserve("one", 500);
    await assert.rejects(cache.reserve("two", 200), code("REFUSED"));
    await cache.reserve("one", 600);
    back();
    await cache.reserve("two", 600);
    await assert.rejects(
      new Cache(join(root, "bound"), 1e18).reserve("x", 1e17),
      /disk of the cache is full/,
    );
  });

  it("a name has one user at a time", async () => {
    const cache = new Cache(join(root, "claims"), 1000);
    await put(cache, "web", 1);
    const release = cache.claim("web", "restored");
    await assert.rejects(cache.remove("web"), code("BUSY"));
    release();
    await cache.remove("web");
    await assert.rejects(cache.remove("web"), code("IMAGE_NOT_FOUND"));
  });
});
