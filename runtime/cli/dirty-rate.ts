/** `pclive dirty-rate`: how fast a container writes its memory, and how it would move. */
import type { Command } from "commander";
import { pclive } from "#protos/agent";
import { formatBytes, formatMs, formatRate } from "../format.js";
import type { WithAgent } from "./checkpoint.js";
import type { AgentClient } from "./client.js";
import { CliError, failureOf } from "./exit.js";
import { duration, oneOf, size } from "./options.js";
import { table } from "./report.js";

interface Flags {
  namespace: string;
  for: string;
  downtime: string;
  bandwidth?: string;
  tracker: string;
  json?: boolean;
}

export function addDirtyRate(program: Command, withAgent: WithAgent): void {
  program
    .command("dirty-rate")
    .description("measure how fast a running container writes its memory, and say how it would move")
    .argument("<container>", "the container's id")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--for <duration>", "how long to measure", "10s")
    .option("--downtime <duration>", "the downtime that a migration should have", "100ms")
    .option("--bandwidth <bytes>", "of the link to move by, bytes a second, e.g. 117M for 1 Gbit/s", "1100M")
    .option("--tracker <name>", "how written pages are found: auto, uffd or soft-dirty", "auto")
    .option("--json", "one JSON object a line: every look, the report last")
    .action(async (container: string, flags: Flags, command: Command) => {
      const request = {
        container,
        namespace: flags.namespace,
        forMs: duration("for", flags.for),
        downtimeMs: duration("downtime", flags.downtime),
        bandwidth: size("bandwidth", flags.bandwidth),
        tracker: oneOf("tracker", flags.tracker, ["auto", "uffd", "soft-dirty"]),
      };
      await withAgent(command, (client) => measure(client, request, flags.json === true));
    });
}

/** Interrupted it ends at once: the agent lets go of the container when we hang up. */
async function measure(
  client: AgentClient,
  request: pclive.agent.v1.IDirtyRateRequest,
  json: boolean,
): Promise<void> {
  for await (const event of client.dirtyRate(request)) {
    const { look, report, failure } = event;
    if (failure) throw failureOf(failure);
    if (json) process.stdout.write(`${jsonOf(event)}\n`);
    else if (look) process.stdout.write(`${describe(look)}\n`);
    if (!report) continue;
    if (!json) process.stdout.write(`\n${renderDirtyRate(report)}\n`);
    return;
  }
  throw new CliError(
    "AGENT_UNREACHABLE",
    "the agent ended before the measurement did",
    "start it and try again",
  );
}

function jsonOf(event: pclive.agent.v1.DirtyRateEvent): string {
  return JSON.stringify(pclive.agent.v1.DirtyRateEvent.toObject(event, { longs: Number }));
}

function describe(look: pclive.agent.v1.IDirtyLook): string {
  const dirty = `${formatBytes(look.dirtyBytes ?? 0)} in ${formatMs(look.ms ?? 0)}`;
  return `${formatMs(look.atMs ?? 0)}: ${dirty}, ${formatRate(look.dirtyRate ?? 0)}`;
}

export function renderDirtyRate(report: pclive.agent.v1.IDirtyRateReport): string {
  const ms = (value: number | null | undefined) => formatMs(value ?? 0);
  const bytes = (value: number | null | undefined) => formatBytes(value ?? 0);
  const rate = (value: number | null | undefined) => formatRate(value ?? 0);
  const { prediction } = report;
  const measured = table([
    ["memory", bytes(report.memoryBytes)],
    ["processes", String(report.processes ?? 0)],
    ["dirty rate, median", rate(report.medianRate)],
    ["  lowest", rate(report.lowestRate)],
    ["  highest", rate(report.highestRate)],
    ["writable working set", bytes(report.writtenBytes)],
    ["longest stop", ms(report.attachMs)],
  ]);
  const foreseen = table([
    ["downtime", ms(prediction?.downtimeMs)],
    ["  with nothing to send", ms(prediction?.fixedMs)],
    ["until the switchover", ms(prediction?.totalMs)],
    ["rounds", String(prediction?.rounds ?? 0)],
    ["sent", bytes(prediction?.sentBytes)],
  ]);
  const why = prediction?.detail ? `\n  ${prediction.detail}` : "";
  return `${measured}\n\na migration at ${rate(prediction?.bandwidth)} would take\n${foreseen}${why}`;
}
