import assert from "node:assert/strict";
import fc from "fast-check";
import { relate } from "../../../runtime/agent/source/clocks.js";
import { pauseChain } from "../../../runtime/agent/source/timeline.js";
import { unixMs } from "../../../runtime/clock.js";
import { chromeTrace } from "../../../runtime/trace/chrome.js";
import { criuSpans } from "../../../runtime/trace/criu.js";
import { Recorder } from "../../../runtime/trace/recorder.js";
import { fromWire, toWire } from "../../../runtime/trace/wire.js";
import { coverage, crossing, readTrace } from "../../lib/trace.js";

const CLOCKS = { offsetMs: 5000, errorMs: 0.2, roundTripMs: 0.4 };

describe("a trace", () => {
  it("puts both hosts on one clock", () => {
    const trace = chromeTrace(
      [
        { host: "a", role: "source", spans: [{ track: "shim", name: "send", at: 1000, ms: 10 }] },
        { host: "b", role: "destination", spans: [{ track: "CRIU", name: "restore", at: 6010, ms: 5 }] },
      ],
      CLOCKS,
      { from: 1000, to: 1015 },
    );
    const { spans, pause } = readTrace(JSON.stringify(trace));
    assert.deepEqual(
      spans.map(({ row, name, from, to }) => [row, name, from, to]),
      [
        ["a (source): shim", "send", 0, 10_000],
        ["b (destination): CRIU", "restore", 10_000, 15_000],
      ],
    );
    assert.equal(coverage(spans, pause.from, pause.to), 1);
  });

  it("never lets spans of a lane cross, whatever overlaps", () => {
    const span = fc.record({
      track: fc.constantFrom("shim", "engine", "other"),
      name: fc.constant("x"),
      at: fc.integer({ min: 0, max: 500 }),
      ms: fc.integer({ min: 0, max: 200 }),
    });
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 40 }), (spans) => {
        const trace = chromeTrace([{ host: "a", role: "source", spans }], CLOCKS, undefined);
        assert.deepEqual(crossing(readTrace(JSON.stringify(trace)).spans), []);
      }),
    );
  });

  it("shows the pause as a chain without gaps", () => {
    const source = [
      { track: "shim", name: "snapshot", at: 110, ms: 5 },
      { track: "engine", name: "skeleton sent", at: 140, ms: 20 },
      { track: "shim", name: "record the commit", at: 200, ms: 5 },
    ];
    const destination = [{ track: "engine", name: "CRIU restores", at: 150, ms: 30 }];
    const chain = pauseChain(source, destination, { from: 100, to: 220 }, 190);
    assert.deepEqual(
      chain.map(({ at, ms }) => [at, ms]),
      [
        [100, 10],
        [110, 5],
        [115, 25],
        [140, 10],
        [150, 30],
        [180, 10],
        [190, 15],
        [205, 15],
      ],
    );
  });

  it("takes CRIU's stages from its log, by the time that a mark tells", () => {
    const log = [
      "(00.010000) pclive: mark seized at 1000000500000000 ns, told at 1000000500000000 ns",
      "(00.012000) Obtaining task stat ... ",
      "(00.013000) Collecting mappings (pid: 7)",
      "(00.043000) Collecting fds (pid: 7)",
      "(00.050000) Unfreezing tasks into 1",
      "(00.051000) Writing stats",
    ].join("\n");
    const spans = criuSpans("dump", log);
    const mappings = spans.find((span) => span.name === "mappings");
    assert.ok(mappings);
    assert.ok(Math.abs(mappings.at - 1_000_000_503) < 0.001);
    assert.ok(Math.abs(mappings.ms - 30) < 0.001);
    assert.equal(spans.length, 5);
    assert.deepEqual(criuSpans("dump", "(00.013000) Collecting mappings (pid: 7)"), []);
  });

  it("keeps what a peer tells only if it is a span", () => {
    const good = { track: "shim", name: "x", at: 1, ms: 2, figures: { bytes: 3 } };
    assert.deepEqual(fromWire(toWire([good])), [good]);
    assert.deepEqual(fromWire([{ ...good, ms: Number.NaN }, { ...good, name: "x".repeat(101) }, {}]), []);
  });

  it("keeps what came last when there is too much", () => {
    const recorder = new Recorder();
    for (let i = 0; i < 10_000; i++) recorder.add({ track: "shim", name: `${i}`, at: i, ms: 0 });
    assert.ok(recorder.spans.length <= 4000);
    assert.equal(recorder.spans.at(-1)?.name, "9999");
  });
});

describe("two clocks", () => {
  it("are related by the fastest answer, which bounds the error", () => {
    assert.equal(relate([]), undefined);
    const relation = relate([
      { sentAt: 0, peerAt: 1030, receivedAt: 40 },
      { sentAt: 100, peerAt: 1101.4, receivedAt: 102 },
    ]);
    assert.deepEqual(relation, { roundTripMs: 2, offsetMs: 1101.4 - 101, errorMs: 1 });
  });

  it("tell the same time of day, one finer than the other", () => {
    for (let i = 0; i < 1000; i++) {
      const before = Date.now();
      const fine = unixMs();
      assert.ok(fine >= before - 1 && fine <= Date.now() + 1);
    }
  });
});
