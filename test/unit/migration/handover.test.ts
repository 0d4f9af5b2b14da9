import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type HandoverState,
  HandoverStore,
  isEnded,
  mayBecome,
} from "../../../runtime/migration/handover.js";
import { self } from "../../../runtime/migration/process.js";

const ID = "0123456789abcdef0123456789abcdef";
const fresh = (role: "source" | "destination", migration = ID) => ({
  migration,
  role,
  container: "redis",
  namespace: "default",
  bundle: "/run/x",
  owner: self(),
});

describe("handover records", () => {
  let dir = "";
  let store: HandoverStore;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "handover-"));
    store = new HandoverStore(dir);
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  it("survive: another store reads what one wrote, and no temporary file is left", async () => {
    await store.create(fresh("source"));
    await store.advance(ID, "committed");
    const read = await new HandoverStore(dir).read(ID);
    assert.equal(read?.state, "committed");
    assert.equal(read?.container, "redis");
    assert.deepEqual(readdirSync(dir), [`${ID}.json`]);
  });

  it("take exactly the steps of the diagram", () => {
    const legal: [HandoverState, HandoverState][] = [
      ["moving", "committed"],
      ["moving", "rolled-back"],
      ["committed", "done"],
      ["committed", "returned"],
      ["preparing", "held"],
      ["preparing", "refused"],
      ["held", "running"],
      ["held", "refused"],
    ];
    const states = [...new Set(legal.flat())];
    for (const from of states) {
      for (const to of states) {
        assert.equal(
          mayBecome(from, to),
          legal.some(([a, b]) => a === from && b === to),
          `${from} → ${to}`,
        );
      }
    }
    assert.deepEqual(states.filter(isEnded).sort(), [
      "done",
      "refused",
      "returned",
      "rolled-back",
      "running",
    ]);
  });

  it("refuse a step that the diagram lacks, and keep the state", async () => {
    await store.create(fresh("source"));
    await assert.rejects(store.advance(ID, "done"), { code: "wrong-state" });
    await store.advance(ID, "committed");
    await assert.rejects(store.advance(ID, "rolled-back"), { code: "wrong-state" });
    assert.equal((await store.read(ID))?.state, "committed");
  });

  it("let one of two steps win that are taken at once", async () => {
    await store.create(fresh("destination"));
    const [held, refused] = await Promise.allSettled([
      store.advance(ID, "refused"),
      store.advance(ID, "held"),
    ]);
    assert.equal(held.status, "fulfilled");
    assert.equal(refused.status, "rejected");
    assert.equal((await store.read(ID))?.state, "refused");
  });

  it("are not begun twice", async () => {
    await store.create(fresh("source"));
    await assert.rejects(store.create(fresh("destination")), { code: "wrong-state" });
  });

  it("are refused when corrupt, with the file's name, and do not hide the others", async () => {
    const other = ID.replace("0", "f");
    await store.create(fresh("source"));
    for (const text of [
      "",
      "{",
      "[]",
      '{"version":1}',
      readFileSync(join(dir, `${ID}.json`), "utf8").replace("moving", "gone"),
    ]) {
      writeFileSync(join(dir, `${other}.json`), text);
      await assert.rejects(store.read(other), { code: "record-failed", message: new RegExp(other) });
      const { records, broken } = await store.list();
      assert.equal(records.length, 1);
      assert.equal(broken.length, 1);
    }
    writeFileSync(join(dir, `${other}.json`), readFileSync(join(dir, `${ID}.json`)));
    await assert.rejects(store.read(other), { code: "record-failed", message: /belongs to/ });
  });

  it("never lead out of their folder", async () => {
    await assert.rejects(store.read("../../../etc/passwd"), { code: "protocol" });
  });

  it("of a shim that is gone are settled by what its end meant", async () => {
    const dead = { pid: 1, startTime: "99999999" };
    await store.create({ ...fresh("destination"), owner: dead });
    await store.advance(ID, "held");
    const record = await store.read(ID);
    assert.ok(record);
    assert.equal((await store.settleOrphan(record)).state, "refused");
  });

  it("of a living shim, and committed ones, are left to it", async () => {
    const living = await store.create(fresh("source"));
    assert.equal((await store.settleOrphan(living)).state, "moving");
    const committed = { ...(await store.advance(ID, "committed")), owner: { pid: 1, startTime: "99999999" } };
    assert.equal((await store.settleOrphan(committed)).state, "committed");
  });

  it("are pruned only when ended and old", async () => {
    await store.create(fresh("source"));
    await store.prune(Date.now() + 1000);
    assert.equal((await store.read(ID))?.state, "moving");
    await store.advance(ID, "rolled-back", "cancelled");
    await store.prune(Date.now() + 1000);
    assert.equal(await store.read(ID), undefined);
  });
});
