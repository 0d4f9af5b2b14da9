/**
 * The YCSB client: runs on the client host of the lab, against a Redis, and prints one JSON object. Open loop: operations fall due at a fixed
 * rate whatever the server does, and each is timed from when it was due. SIGTERM ends it.
 */
import { Command } from "commander";
import { Recorder } from "../../lib/recorder.js";
import { CORE_NAMES, type CoreName, Mix, type Operation } from "./mix.js";
import { populate } from "./populate.js";
import { seeded } from "./random.js";
import { FIELDS } from "./record.js";
import { Store } from "./store.js";

interface Flags {
  host: string;
  workload: CoreName;
  rate: string;
  connections: string;
  duration: string;
  populate?: string;
}

const GRACE_MS = 20_000;
const IN_FLIGHT = 256;
const wall = (): number => performance.timeOrigin + performance.now();

/** Runs `work` for all `items`, some at a time. */
async function each(items: readonly number[], work: (item: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as number);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, lane));
}

function perform(store: Store, operation: Operation, field: number): Promise<void> {
  switch (operation.kind) {
    case "read":
      return store.read(operation.record);
    case "update":
      return store.update(operation.record, field);
    case "insert":
      return store.insert(operation.record);
    case "scan":
      return store.scan(operation.record, operation.length);
    case "read-modify-write":
      return store.read(operation.record).then(() => store.update(operation.record, field));
  }
}

async function offer(store: Store, recorder: Recorder, flags: Flags, start: number): Promise<void> {
  const random = seeded(42);
  const mix = new Mix(flags.workload, await store.count(), random);
  const interval = 1000 / Number(flags.rate);
  const end = start + Number(flags.duration) * 1000;
  let stopped = false;
  process.on("SIGTERM", () => (stopped = true));
  let open = 0;
  const issue = (dueAt: number): void => {
    open++;
    recorder.due(dueAt);
    perform(store, mix.next(), Math.floor(random() * FIELDS)).then(
      () => {
        open--;
        recorder.done(wall(), dueAt);
      },
      (error: Error) => {
        open--;
        recorder.errors++;
        recorder.firstWrong ||= error.message;
      },
    );
  };
  let due = wall();
  while (!stopped && due < end) {
    for (const now = wall(); due <= now; due += interval) issue(due);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const deadline = wall() + GRACE_MS;
  while (open > 0 && wall() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
}

async function main(flags: Flags): Promise<number> {
  if (flags.populate !== undefined) {
    await populate(flags.host, Number(flags.populate));
    return 0;
  }
  const start = wall();
  const recorder = new Recorder(start, start);
  const store = await Store.open(flags.host, Number(flags.connections), recorder, (error) => {
    recorder.broken++;
    recorder.firstWrong ||= error.message;
  });
  await offer(store, recorder, flags, start);
  const end = wall();
  // What was written is read once more, beside the record that was kept of it.
  await each(store.versions.records(), (record) => store.read(record));
  process.stdout.write(`${JSON.stringify(recorder.report(end, Number(flags.rate)))}\n`);
  store.close();
  return recorder.wrong + recorder.errors + recorder.broken > 0 ? 3 : 0;
}

const program = new Command("ycsb")
  .description("YCSB's core workloads against a Redis, at a fixed rate")
  .requiredOption("--host <address>", "where Redis is")
  .option("--workload <letter>", CORE_NAMES.join(", "), "a")
  .option("--rate <n>", "operations a second", "1000")
  .option("--connections <n>", "connections", "8")
  .option("--duration <s>", "seconds", "10")
  .option("--populate <records>", "make so many records, and end");
program.parse();
process.exit(await main(program.opts<Flags>()));
