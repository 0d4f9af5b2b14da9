/**
 * `make demo`: a Redis with 1 GB of data and a mixed load moves from host a to host b while its clients stay connected.
 */
import { Command, Option } from "commander";
import { renderReport, table } from "../../runtime/cli/report.js";
import { formatMs } from "../../runtime/format.js";
import { Lab } from "../lab/lab.js";
import { type Moved, moveRedis } from "../lib/move-redis.js";
import { warmthFor } from "../lib/warm.js";

const STRATEGIES = ["pipelined", "precopy", "stop-and-copy"];

interface Flags {
  strategy: string;
  memory: string;
  rate: string;
  link: string;
}

function clientTable(moved: Moved): string {
  const { load } = moved;
  const same = moved.digestBefore === moved.digestAfter;
  return table([
    ["gap seen by the client", formatMs(load.client_gap_ms)],
    ["requests lost", `${load.lost} of ${load.sent}`],
    ["wrong answers", String(load.wrong + load.errors)],
    ["connections broken", String(load.broken_connections)],
    [
      "achieved rate during the rounds",
      `${(100 * moved.achievedInRounds).toFixed(1)} % of ${load.offered_rate} requests/s`,
    ],
    ["digest before", moved.digestBefore],
    ["digest after", moved.digestAfter],
    ["digest", same ? "identical" : "DIFFERENT"],
  ]);
}

function indent(text: string): string {
  return text.replace(/^/gm, "  ");
}

async function demonstrate(lab: Lab, strategy: string, flags: Flags): Promise<boolean> {
  console.log(`\n== ${strategy} ==`);
  const moved = await moveRedis(lab, {
    id: `demo-${strategy}`,
    address: `10.10.1.${10 + STRATEGIES.indexOf(strategy)}`,
    from: "a",
    to: "b",
    memoryMb: Number(flags.memory),
    valueBytes: 4096,
    load: { rate: Number(flags.rate), reads: 0.5, connections: 8 },
    migrate: { strategy },
    settleMs: 2000,
    warmMb: warmthFor(Number(flags.memory)),
    say: (line) => console.log(line),
  });
  console.log(`\n${renderReport(moved.report)}\n\n${clientTable(moved)}`);
  console.log(`\nctr task ls on a:\n${indent(moved.tasksFrom)}\nctr task ls on b:\n${indent(moved.tasksTo)}`);
  const { lost, wrong, errors, broken_connections: broken } = moved.load;
  const good = lost + wrong + errors + broken === 0 && moved.digestBefore === moved.digestAfter;
  console.log(good ? `digest: identical` : `the move was not clean: ${moved.load.first_wrong}`);
  return good;
}

const program = new Command("demo")
  .description("move a Redis under load from host a to host b")
  .addOption(new Option("--strategy <name>", "or all").choices([...STRATEGIES, "all"]).default("pipelined"))
  .option("--memory <mb>", "megabytes of data", "1000")
  .option("--rate <n>", "offered requests per second", "2000")
  .option("--link <mbit>", "Mbit/s of the link, or off", "10000");
program.parse(process.argv);
const flags = program.opts<Flags>();
const lab = await Lab.up();
await lab.shape(flags.link === "off" ? "off" : Number(flags.link));
const wanted = flags.strategy === "all" ? STRATEGIES : [flags.strategy];
let good = true;
for (const strategy of wanted) good = (await demonstrate(lab, strategy, flags)) && good;
await lab.shape("off");
console.log("\nThe lab is still up: make lab-shell HOST=b looks around, make clean-lab takes it away.");
process.exitCode = good ? 0 : 1;
