/** `pclive checkpoint` and `pclive restore`. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { pclive } from "#protos/agent";
import { formatBytes, formatMs } from "../format.js";
import type { AgentClient } from "./client.js";
import { CliError, failureOf } from "./exit.js";
import { table } from "./report.js";

export type WithAgent = <T>(command: Command, work: (client: AgentClient) => Promise<T>) => Promise<T>;

interface CheckpointFlags {
  namespace: string;
  to: string;
  exit?: boolean;
  direct?: boolean;
  tracker: string;
  tcpEstablished?: boolean;
  externalUnixSockets?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
  json?: boolean;
}

const RESTORE_MS = 1_900_000;
const TRACKERS = ["auto", "uffd", "soft-dirty"];

export function addCheckpoint(program: Command, withAgent: WithAgent): void {
  program
    .command("checkpoint")
    .description("write the state of a running container to a folder; it stands still only for a moment")
    .argument("<container>", "the container's id")
    .requiredOption(
      "--to <folder>",
      "where the image goes: standard CRIU images, as runc checkpoint writes them",
    )
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--exit", "end the container when the image is complete")
    .option("--tcp-established", "keep connections in the image; needed when there are any")
    .option("--external-unix-sockets", "allow unix sockets whose other end is outside of the container")
    .option("--file-locks", "keep file locks in the image")
    .option("--shell-job", "allow a terminal from outside of the container")
    .option("--direct", "write past the page cache, where the file system can")
    .option("--tracker <name>", "how written pages are found: auto, uffd or soft-dirty", "auto")
    .option("--json", "one JSON object a line: progress, the report last")
    .action(async (container: string, flags: CheckpointFlags, command: Command) => {
      const request = requestOf(container, flags);
      await withAgent(command, (client) => checkpoint(client, request, flags.json === true));
    });
}

interface RestoreFlags {
  namespace: string;
  from: string;
  name?: string;
  netns?: string;
  json?: boolean;
}

export function addRestore(program: Command, withAgent: WithAgent): void {
  program
    .command("restore")
    .description("let a container that does not run go on from an image")
    .argument("<container>", "the id of an existing container, made as the one in the image was")
    .requiredOption("--from <folder>", "the image: of pclive checkpoint, or any other of CRIU")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option(
      "--name <name>",
      "restore into a new container of this name, made like the other, which may run on",
    )
    .option("--netns <path>", "the new container's network namespace; default: that of the other one")
    .option("--json", "as JSON")
    .action(async (container: string, flags: RestoreFlags, command: Command) => {
      const { namespace, name = "", netns } = flags;
      const from = resolve(flags.from);
      const request = { container, namespace, from, name, netns: netns === undefined ? "" : resolve(netns) };
      const report = await withAgent(command, (client) => client.restore(request, RESTORE_MS));
      const text = `${report.container} runs (pid ${report.pid}), restored in ${formatMs(report.restoreMs)}`;
      process.stdout.write(`${flags.json === true ? JSON.stringify(report) : text}\n`);
    });
}

function requestOf(container: string, flags: CheckpointFlags): pclive.agent.v1.ICheckpointRequest {
  const { json: _json, to, tracker, ...rest } = flags;
  if (!TRACKERS.includes(tracker)) {
    throw new CliError("USAGE", `--tracker ${tracker} is not known`, `use one of: ${TRACKERS.join(", ")}`);
  }
  return { ...rest, container, tracker, to: resolve(to) };
}

/** The first SIGINT gives the checkpoint up: the container runs on, and nothing is left of the image. */
async function checkpoint(
  client: AgentClient,
  request: pclive.agent.v1.ICheckpointRequest,
  json: boolean,
): Promise<void> {
  const events = client.checkpoint(request);
  const onInterrupt = () => {
    process.stderr.write("\ncancelled: the container runs on\n");
    process.exit(130);
  };
  process.on("SIGINT", onInterrupt);
  process.on("SIGTERM", onInterrupt);
  try {
    for await (const { progress, report, failure } of events) {
      if (failure) throw failureOf(failure);
      if (json) process.stdout.write(`${jsonOf(progress ? { progress } : { report: report ?? null })}\n`);
      else if (progress) process.stdout.write(`${describe(progress)}\n`);
      if (report) {
        if (!json) process.stdout.write(`${renderCheckpoint(report)}\n`);
        return;
      }
    }
    throw new CliError(
      "AGENT_UNREACHABLE",
      "the agent ended before the checkpoint did",
      "the container runs on; start the agent and try again",
    );
  } finally {
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
  }
}

function jsonOf(event: pclive.agent.v1.ICheckpointEvent): string {
  const { CheckpointEvent } = pclive.agent.v1;
  return JSON.stringify(CheckpointEvent.toObject(CheckpointEvent.create(event), { longs: Number }));
}

function describe(progress: pclive.agent.v1.ICheckpointProgress): string {
  const what = progress.phase === "round" ? `round ${progress.round ?? 0}` : (progress.phase ?? "");
  return progress.bytes ? `${what}: ${formatBytes(progress.bytes)}` : what;
}

export function renderCheckpoint(report: pclive.agent.v1.ICheckpointReport): string {
  if (report.mode === "plain") {
    return [
      `${report.path}: written in ${formatMs(report.totalMs ?? 0)}, by runC alone: the container stood still throughout`,
      `  because ${report.reason}`,
    ].join("\n");
  }
  const paused = report.tracker === "none";
  return table([
    ["frozen", paused ? "paused before" : formatMs(report.frozenMs ?? 0)],
    ["  of it dump", formatMs(report.dumpMs ?? 0)],
    ["  last pages", formatBytes(report.finalBytes ?? 0)],
    ["rounds", String(report.rounds ?? 0)],
    ["image written", formatMs(report.writeMs ?? 0)],
    ["total", formatMs(report.totalMs ?? 0)],
    ["image", formatBytes(report.imageBytes ?? 0)],
    ["in", report.path ?? ""],
  ]);
}
