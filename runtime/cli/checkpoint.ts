/** `pclive checkpoint` and `pclive restore`. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { pclive } from "#protos/agent";
import { formatBytes, formatMs } from "../format.js";
import {
  type Archive,
  type ArchiveFlags,
  checkpointToArchive,
  type OpenFlags,
  restoreFromArchive,
  sourceOf,
  targetOf,
} from "./archive.js";
import type { AgentClient } from "./client.js";
import { CliError, failureOf } from "./exit.js";
import { print } from "./options.js";
import { table } from "./report.js";

export type WithAgent = <T>(command: Command, work: (client: AgentClient) => Promise<T>) => Promise<T>;

export interface TakeFlags {
  direct?: boolean;
  tcpEstablished?: boolean;
  externalUnixSockets?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
}

interface CheckpointFlags extends ArchiveFlags, TakeFlags {
  namespace: string;
  to: string;
  exit?: boolean;
  tracker: string;
  json?: boolean;
}

export const RESTORE_MS = 1_900_000;
const TRACKERS = ["auto", "uffd", "soft-dirty"];

/** The options of `asked`. */
export function withTakeOptions(command: Command): Command {
  return command
    .option("--tcp-established", "keep connections in the image; needed when there are any")
    .option("--external-unix-sockets", "allow unix sockets whose other end is outside of the container")
    .option("--file-locks", "keep file locks in the image")
    .option("--shell-job", "allow a terminal from outside of the container")
    .option("--direct", "write past the page cache, where the file system can");
}

export function addCheckpoint(program: Command, withAgent: WithAgent): void {
  withTakeOptions(program.command("checkpoint"))
    .description("write the state of a running container to a folder; it stands still only for a moment")
    .argument("<container>", "the container's id")
    .requiredOption(
      "--to <place>",
      "where the image goes, as standard CRIU images: a folder; a file NAME.tar[.zst][.age]; - for standard output; peer:HOST[/NAME], kept there with all that a restore needs",
    )
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--exit", "end the container when the image is complete")
    .option("--compress <method>", "of a file or stream: zstd")
    .option("--encrypt-to <recipient...>", "of a file or stream: only whose key is named (age1…) can read it")
    .option("--passphrase-file <file>", "of a file or stream: encrypt with the first line of this file")
    .option(
      "--staging <folder>",
      "where the image of a file or stream is made; default: /var/lib/pclive/streams",
    )
    .option("--tracker <name>", "how written pages are found: auto, uffd or soft-dirty", "auto")
    .option("--json", "one JSON object a line: progress, the report last")
    .action(async (container: string, flags: CheckpointFlags, command: Command) => {
      const target = targetOf(flags.to, flags);
      await withAgent(command, async (client) => {
        if (target.kind === "folder") return checkpointByAgent(client, container, flags, target.path);
        if (target.kind === "cache") return checkpointByAgent(client, container, flags, target.place);
        return checkpointAsArchive(client, container, flags, target);
      });
    });
}

async function checkpointByAgent(
  client: AgentClient,
  container: string,
  flags: CheckpointFlags,
  to: string,
): Promise<void> {
  const json = flags.json === true;
  const report = await checkpoint(client, requestOf(container, flags, to), json, process.stdout);
  process.stdout.write(`${json ? jsonOf({ report }) : renderCheckpoint(report)}\n`);
}

/** Standard output may be the image's: then all that is to say goes to standard error. */
async function checkpointAsArchive(
  client: AgentClient,
  container: string,
  flags: CheckpointFlags,
  target: Archive,
): Promise<void> {
  const json = flags.json === true;
  const out = target.kind === "stream" ? process.stderr : process.stdout;
  const { report, packed, size } = await checkpointToArchive(container, target, flags, (folder) =>
    checkpoint(client, requestOf(container, flags, folder), json, out),
  );
  const placed = { ...report, path: flags.to };
  out.write(`${json ? jsonOf({ report: placed }) : renderCheckpoint(placed)}\n`);
  if (!json)
    out.write(`packed in ${formatMs(packed.ms)}${size === undefined ? "" : `: ${formatBytes(size)}`}\n`);
}

interface RestoreFlags extends OpenFlags {
  namespace?: string;
  from: string;
  name?: string;
  netns?: string;
  json?: boolean;
}

export function addRestore(program: Command, withAgent: WithAgent): void {
  program
    .command("restore")
    .description("let a container that does not run go on from an image")
    .argument(
      "[container]",
      "the id of an existing container, made as the one in the image was; of cache:NAME it may be missing",
    )
    .requiredOption(
      "--from <place>",
      "the image: a folder, of pclive checkpoint or any other of CRIU; a file of pclive checkpoint; - for standard input; cache:NAME, of pclive images",
    )
    .option("-n, --namespace <name>", "containerd namespace; default: default, or that of cache:NAME")
    .option(
      "--name <name>",
      "restore into a new container of this name, made like the other, which may run on",
    )
    .option("--netns <path>", "the new container's network namespace; default: that of the other one")
    .option("--identity <file...>", "the key of an encrypted image, as pclive keygen or age-keygen make them")
    .option("--passphrase-file <file>", "the passphrase of an encrypted image is the first line of this file")
    .option("--staging <folder>", "where a file or stream is unpacked; default: /var/lib/pclive/streams")
    .option("--json", "as JSON")
    .action(async (container = "", flags: RestoreFlags, command: Command) => {
      const { namespace = "", name = "", netns } = flags;
      const source = sourceOf(flags.from);
      if (container === "" && source.kind !== "cache")
        throw new CliError("USAGE", "which container?", "name one that exists and does not run");
      const request = { container, namespace, name, netns: netns === undefined ? "" : resolve(netns) };
      const report = await withAgent(command, (client) => {
        const restore = (from: string) => client.restore({ ...request, from }, RESTORE_MS);
        if (source.kind === "folder") return restore(source.path);
        if (source.kind === "cache") return restore(source.place);
        return restoreFromArchive(source, flags, restore);
      });
      print(flags.json, report, renderRestore(report));
    });
}

export function renderRestore({ container, pid, restoreMs }: pclive.agent.v1.RestoreReport): string {
  return `${container} runs (pid ${pid}), restored in ${formatMs(restoreMs)}`;
}

function requestOf(
  container: string,
  flags: CheckpointFlags,
  to: string,
): pclive.agent.v1.ICheckpointRequest {
  const { namespace, tracker } = flags;
  if (!TRACKERS.includes(tracker)) {
    throw new CliError("USAGE", `--tracker ${tracker} is not known`, `use one of: ${TRACKERS.join(", ")}`);
  }
  return { container, namespace, tracker, to, exit: flags.exit === true, ...asked(flags) };
}

/** What every checkpoint can be asked for. */
export function asked(flags: TakeFlags): Required<TakeFlags> {
  return {
    direct: flags.direct === true,
    tcpEstablished: flags.tcpEstablished === true,
    externalUnixSockets: flags.externalUnixSockets === true,
    shellJob: flags.shellJob === true,
    fileLocks: flags.fileLocks === true,
  };
}

/** The first SIGINT gives the checkpoint up: the container runs on, and nothing is left of the image. */
async function checkpoint(
  client: AgentClient,
  request: pclive.agent.v1.ICheckpointRequest,
  json: boolean,
  out: NodeJS.WritableStream,
): Promise<pclive.agent.v1.ICheckpointReport> {
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
      if (report) return report;
      if (progress) out.write(`${json ? jsonOf({ progress }) : describe(progress)}\n`);
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
