/**
 * Runs on the client host: `pulse.js ADDRESS PORT watch|verify`. Watches a program that tells its progress (test/programs/pulse) until SIGTERM
 * and prints what it saw as JSON; or has it check all its memory, and ends when that was good.
 */
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { Recorder } from "../../../lib/recorder.js";

const LIMIT_MS = 300_000;
const wall = (): number => performance.timeOrigin + performance.now();
const [address = "", port = "", mode = "watch"] = process.argv.slice(2);

const socket = connect({ host: address, port: Number(port) });
const start = wall();
const recorder = new Recorder(start, start);
let before: { readonly work: number; readonly checks: number } | undefined;

function fail(why: string): never {
  process.stderr.write(`${why}\n`);
  process.exit(1);
}

function report(): never {
  process.stdout.write(`${JSON.stringify(recorder.report(wall(), 0))}\n`, () => process.exit(0));
  return undefined as never;
}

function see(line: string): void {
  const [work = 0, checks = 0] = line.split(" ").map(Number);
  if (mode === "watch" && before !== undefined) recorder.done(wall(), wall(), work - before.work);
  if (mode === "verify") {
    if (before === undefined) socket.write("?");
    else if (checks > before.checks) process.exit(0);
    before ??= { work, checks };
  } else before = { work, checks };
}

setTimeout(() => fail(`${mode} took over ${LIMIT_MS} ms`), LIMIT_MS);
process.on("SIGTERM", () => report());
socket.on("error", (error) => {
  if (mode === "verify") fail(error.message);
  recorder.broken++;
  recorder.firstWrong ||= error.message;
});
createInterface({ input: socket })
  .on("line", see)
  .on("close", () => (mode === "verify" ? fail("it closed the connection") : recorder.broken++))
  // What failed has been told by the socket itself.
  .on("error", () => undefined);
