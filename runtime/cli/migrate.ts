/**
 * `pclive migrate`: starts a migration, shows it, and ends with its report or one clear error.
 */
import type { pclive } from "#protos/agent";
import type { AgentClient } from "./client.js";
import { CliError, failureOf } from "./exit.js";
import { duration, oneOf, size, usage, whole } from "./options.js";
import { chooseDisplay } from "./progress.js";
import { renderReport } from "./report.js";
import { TraceFile } from "./trace.js";

export const STRATEGIES = ["pipelined", "precopy", "stop-and-copy"] as const;

/** Less would take for ever; more than any host has. */
const MIN_CPU_PERCENT = 5;
const MAX_CPU_PERCENT = 100_000;

const MAX_HEADROOM_PERCENT = 90;
const MAX_STREAMS = 16;

export interface MigrateOptions {
  namespace: string;
  downtime: string;
  strategy: string;
  maxRounds: string;
  timeout: string;
  bandwidth?: string;
  stageAfter?: string;
  streams?: string;
  cpu?: string;
  headroom: string;
  tracker: string;
  autoConverge?: boolean;
  notConverging: string;
  trace?: string;
  keepStopped?: boolean;
  json?: boolean;
}

/** Checks the words of the command line and makes the request of them. */
export function buildRequest(
  container: string,
  host: string,
  options: MigrateOptions,
): pclive.agent.v1.IMigrateRequest {
  const maxRounds = Number(options.maxRounds);
  if (!Number.isInteger(maxRounds) || maxRounds < 1 || maxRounds > 1000) {
    throw usage(`--max-rounds ${options.maxRounds} is out of range`, "use a whole number from 1 to 1000");
  }
  return {
    container,
    host,
    namespace: options.namespace,
    downtimeMs: duration("downtime", options.downtime),
    strategy: oneOf("strategy", options.strategy, STRATEGIES),
    maxRounds,
    timeoutMs: duration("timeout", options.timeout),
    bandwidth: size("bandwidth", options.bandwidth),
    ...stageAfter(options.stageAfter, maxRounds),
    streams: options.streams === "auto" ? 0 : whole("streams", options.streams, 1, MAX_STREAMS),
    cpuPercent: whole("cpu", options.cpu, MIN_CPU_PERCENT, MAX_CPU_PERCENT),
    headroomPercent: whole("headroom", options.headroom, 0, MAX_HEADROOM_PERCENT),
    tracker: oneOf("tracker", options.tracker, ["auto", "uffd", "soft-dirty"]),
    trace: options.trace !== undefined,
    keepStopped: options.keepStopped === true,
    autoConverge: options.autoConverge === true,
    notConverging: oneOf("not-converging", options.notConverging, ["move", "stay"]),
  };
}

/** Absent: the destination decides. */
function stageAfter(text = "auto", maxRounds: number): { stageAfter?: number } {
  return text === "auto" ? {} : { stageAfter: whole("stage-after", text, 0, maxRounds - 1) };
}

/** Runs the migration to its end. The first SIGINT cancels it, the second leaves it to the agent. */
export async function migrate(
  client: AgentClient,
  request: pclive.agent.v1.IMigrateRequest,
  json: boolean,
  traceFile?: string,
): Promise<void> {
  // A path that cannot be written is told before anything is moved.
  const trace = traceFile === undefined ? undefined : new TraceFile(traceFile);
  const display = chooseDisplay(json, process.stdout);
  let migration = "";
  let interrupted = false;
  const onInterrupt = (): void => {
    if (interrupted || migration === "") process.exit(130);
    interrupted = true;
    process.stderr.write("\ncancelling (press again to leave it running)\n");
    client.cancel({ migration }).catch((error: Error) => process.stderr.write(`${error.message}\n`));
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  try {
    for await (const event of client.migrate(request)) {
      migration = event.migration || migration;
      if (event.trace) {
        trace?.add(event.trace);
        continue;
      }
      display.show(event);
      if (event.failure || event.report) trace?.write();
      if (event.failure) throw failureOf(event.failure);
      if (event.report) {
        display.end();
        if (!json) process.stdout.write(`${renderReport(event.report)}\n`);
        return;
      }
    }
    throw new CliError(
      "AGENT_UNREACHABLE",
      "the agent ended before the migration did",
      "see `pclive status` when it is back",
    );
  } finally {
    display.end();
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}
