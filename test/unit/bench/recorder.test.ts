import assert from "node:assert/strict";
import { readTransactions } from "../../bench/evaluation/workloads/transactions.js";
import { samplesOf } from "../../lib/host-samples.js";
import { quantile, Recorder } from "../../lib/recorder.js";

describe("the recorder of a client", () => {
  it("finds the longest gap during which an answer was owed, and only then", () => {
    const recorder = new Recorder(1000, 501_000);
    recorder.due(1010);
    recorder.done(1020, 1010);
    // Nothing is asked for a second: no gap.
    recorder.due(2000);
    recorder.done(2005, 2000);
    recorder.due(2010);
    recorder.due(2050);
    recorder.done(2310, 2010);
    recorder.done(2311, 2050);
    const report = recorder.report(3000, 2);
    assert.equal(report.client_gap_ms, 300);
    assert.equal(report.gap_end_unix_ms, 502_310);
    assert.deepEqual([report.sent, report.received, report.lost, report.late], [4, 4, 0, 2]);
    assert.deepEqual(report.windows[13], [1300, 0, 2, 300]);
    assert.deepEqual(report.windows[0], [0, 1, 1, 10]);
    assert.equal(report.achieved_rate, 2);
  });

  it("counts what was never answered, and keeps the first mistake", () => {
    const recorder = new Recorder(0, 0);
    recorder.due(1);
    recorder.mistake("one");
    recorder.mistake("two");
    const report = recorder.report(10, 1);
    assert.deepEqual([report.lost, report.wrong, report.first_wrong], [1, 2, "one"]);
  });

  it("takes quantiles by rank", () => {
    assert.deepEqual(
      [quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3, 4], 0.99), quantile([], 0.5)],
      [2, 4, 0],
    );
  });
});

describe("what clients and hosts print", () => {
  it("gives the gap between transactions that wait for each other", () => {
    const text = "Threads started!\ntx 1000.0 10.0\ntx 1500.0 480.0\ntx 1510.0 5.0\nSQL statistics:\n";
    const report = readTransactions(text, 0, 50);
    assert.equal(report.client_gap_ms, 480);
    assert.equal(report.start_unix_ms, 990);
    assert.deepEqual([report.received, report.lost, report.errors], [3, 0, 0]);
    assert.equal(readTransactions(text, 1, 50).errors, 1);
    assert.throws(() => readTransactions("FATAL: no connection\n", 1, 50), /no transaction/);
  });

  it("gives processors in use between two samples", () => {
    const text = "1000000 5000000000 700\n1100000 5050000000 800\nrubbish\n1200000 5250000000 900\n12";
    assert.deepEqual(samplesOf(text), [
      { at: 1100, cpus: 0.5, bytes: 800 },
      { at: 1200, cpus: 2, bytes: 900 },
    ]);
  });
});
