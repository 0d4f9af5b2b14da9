/** What sysbench.lua prints: a line "tx END_UNIX_MS LATENCY_MS" for each transaction. */
import type { LoadReport } from "../../../lib/load.js";
import { Recorder } from "../../../lib/recorder.js";

/** @param code of sysbench, which ends with an error when a connection breaks @throws when there was no transaction */
export function readTransactions(text: string, code: number, rate: number): LoadReport {
  const all = text
    .split("\n")
    .filter((line) => line.startsWith("tx "))
    .map((line) => {
      const [, end = Number.NaN, latency = Number.NaN] = line.split(" ").map(Number);
      return { end, begin: end - latency };
    })
    .filter(({ begin }) => Number.isFinite(begin));
  const start = Math.min(...all.map(({ begin }) => begin));
  if (!Number.isFinite(start)) throw new Error("no transaction");
  const recorder = new Recorder(start, start);
  const steps = all.flatMap(({ begin, end }) => [
    { at: begin, run: () => recorder.due(begin) },
    { at: end, run: () => recorder.done(end, begin) },
  ]);
  for (const step of steps.sort((a, b) => a.at - b.at)) step.run();
  if (code !== 0) {
    recorder.errors++;
    recorder.firstWrong = `sysbench ended with ${code}`;
  }
  return recorder.report(Math.max(...all.map(({ end }) => end)), rate);
}
