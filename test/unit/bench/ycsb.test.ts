import assert from "node:assert/strict";
import { CORE, CORE_NAMES, Mix } from "../../bench/ycsb/mix.js";
import { seeded } from "../../bench/ycsb/random.js";
import { FIELD_BYTES, fieldValue, keyOf, Versions, versionIn } from "../../bench/ycsb/record.js";
import { Latest, Scrambled, THETA, Zipfian } from "../../bench/ycsb/zipfian.js";

const DRAWS = 200_000;

function counted(count: number, draw: () => number): number[] {
  const found = Array<number>(count).fill(0);
  for (let i = 0; i < DRAWS; i++) {
    const value = draw();
    assert.ok(Number.isInteger(value) && value >= 0 && value < count, `${value} of ${count}`);
    found[value] = (found[value] ?? 0) + 1;
  }
  return found;
}

/** Share of the `ranks` most frequent ones in theory: sum of i^-θ up to ranks, over that of all. */
function theory(ranks: number, count: number): number {
  const sum = (to: number): number => {
    let all = 0;
    for (let i = 1; i <= to; i++) all += i ** -THETA;
    return all;
  };
  return sum(ranks) / sum(count);
}

describe("YCSB's choice of records", () => {
  for (const count of [10, 1000, 100_000])
    it(`is zipfian as in theory, of ${count}`, () => {
      const zipfian = new Zipfian(count, seeded(7));
      const found = counted(count, () => zipfian.next());
      for (const ranks of [1, 2, 5, 10, 100, 1000].filter((some) => some < count)) {
        const share = found.slice(0, ranks).reduce((sum, n) => sum + n, 0) / DRAWS;
        // The method is exact for the first two ranks and within a few percent for the others.
        const tolerance = ranks <= 2 ? 0.005 : 0.035;
        assert.ok(
          Math.abs(share - theory(ranks, count)) < tolerance,
          `the first ${ranks}: ${share} instead of ${theory(ranks, count)}`,
        );
      }
    });

  it("is the same when the number grows step by step", () => {
    const grown = new Zipfian(10, seeded(3));
    for (const count of [11, 500, 2000]) grown.grow(count);
    const fresh = new Zipfian(2000, seeded(3));
    for (const rank of [0, 1, 50, 1999]) assert.ok(Math.abs(grown.share(rank) - fresh.share(rank)) < 1e-12);
    grown.grow(5);
    assert.ok(Math.abs(grown.share(0) - fresh.share(0)) < 1e-12);
  });

  it("strews favourites over all records", () => {
    const scrambled = new Scrambled(1000, seeded(5));
    const found = counted(1000, () => scrambled.next());
    const favourites = found
      .map((n, record) => ({ n, record }))
      .sort((a, b) => b.n - a.n)
      .slice(0, 10)
      .map(({ record }) => record);
    assert.ok(Math.max(...favourites) > 500 && Math.min(...favourites) < 500, favourites.join());
    assert.ok(Math.abs(Math.max(...found) / DRAWS - theory(1, 1000)) < 0.02);
  });

  it("prefers the newest when asked for the latest, of those that are new as well", () => {
    const latest = new Latest(100, seeded(9));
    const before = counted(100, () => latest.next(100));
    assert.equal(before.indexOf(Math.max(...before)), 99);
    const later = counted(150, () => latest.next(150));
    assert.equal(later.indexOf(Math.max(...later)), 149);
  });
});

describe("YCSB's core workloads", () => {
  for (const name of CORE_NAMES)
    it(`${name} has its operations in their shares`, () => {
      const mix = new Mix(name, 1000, seeded(11));
      const found: Record<string, number> = {};
      let next = 1000;
      for (let i = 0; i < 50_000; i++) {
        const operation = mix.next();
        found[operation.kind] = (found[operation.kind] ?? 0) + 1;
        if (operation.kind === "insert") assert.equal(operation.record, next++);
        else assert.ok(operation.record >= 0 && operation.record < next);
        if (operation.kind === "scan") assert.ok(operation.length >= 1 && operation.length <= 100);
      }
      const shares = Object.entries(CORE[name].shares);
      assert.equal(
        shares.reduce((sum, [, share]) => sum + share, 0),
        1,
      );
      assert.deepEqual(Object.keys(found).sort(), shares.map(([kind]) => kind).sort());
      for (const [kind, share] of shares)
        assert.ok(Math.abs((found[kind] ?? 0) / 50_000 - share) < 0.01, kind);
    });
});

describe("YCSB's records", () => {
  it("have values of one size that tell field and version, and nothing else passes for them", () => {
    const value = fieldValue(12, 3, 4);
    assert.equal(value.length, FIELD_BYTES);
    assert.equal(versionIn(12, 3, value), 4);
    assert.equal(versionIn(13, 3, value), undefined);
    assert.equal(versionIn(12, 4, value), undefined);
    assert.equal(versionIn(12, 3, `${value.slice(0, 99)}${value[99] === "x" ? "y" : "x"}`), undefined);
    assert.equal(versionIn(12, 3, ""), undefined);
  });

  it("have keys that are different and in another order", () => {
    const keys = Array.from({ length: 10_000 }, (_, record) => keyOf(record));
    assert.equal(new Set(keys).size, keys.length);
    assert.notDeepEqual([...keys].sort(), keys);
  });

  it("have versions that go up, and are unknown until written", () => {
    const versions = new Versions();
    assert.equal(versions.get(1, 1), undefined);
    const first = versions.next(1, 1);
    assert.equal(versions.next(1, 1), first + 1);
    assert.equal(versions.get(1, 2), undefined);
    versions.next(7, 0);
    assert.deepEqual(versions.records(), [1, 7]);
  });
});
