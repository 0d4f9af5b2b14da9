/**
 * The pclive command.
 */
import { Command, CommanderError } from "commander";
import { addBench } from "./bench.js";
import { addCheckpoint, addRestore } from "./checkpoint.js";
import { AgentClient } from "./client.js";
import { addDirtyRate } from "./dirty-rate.js";
import { CliError, EXIT } from "./exit.js";
import { addFailover } from "./failover.js";
import { addImages } from "./images.js";
import { addInstall, addUninstall } from "./install/command.js";
import { buildRequest, type MigrateOptions, migrate } from "./migrate.js";
import { print } from "./options.js";
import { addProtect, addUnprotect } from "./protect.js";
import { renderCheck, renderStatus } from "./report.js";

const DEFAULT_SOCKET = "/run/pclive/pclived.sock";

interface GlobalOptions {
  agent: string;
}

/** Runs `work` with a client of the agent that the command line names. */
async function withAgent<T>(command: Command, work: (client: AgentClient) => Promise<T>): Promise<T> {
  const client = new AgentClient(command.optsWithGlobals<GlobalOptions>().agent);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

function addMigrate(program: Command): void {
  program
    .command("migrate")
    .description("move a running container to another host")
    .argument("<container>", "the container's id")
    .argument("<host>", "the destination: a name of the agent's configuration, or ADDRESS[:PORT]")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--downtime <duration>", "switch over when the predicted pause is this short", "100ms")
    .option("--strategy <name>", "pipelined, precopy or stop-and-copy", "pipelined")
    .option("--max-rounds <n>", "switch over after so many rounds at the latest", "100")
    .option("--timeout <duration>", "give up after this time; the container then runs on here", "10m")
    .option("--bandwidth <bytes>", "send at most so many bytes a second, e.g. 500M")
    .option(
      "--stage-after <round>",
      "keep memory in a file there until this round has ended, or auto",
      "auto",
    )
    .option("--streams <n>", "connections that memory goes over, 1 to 16, or auto", "auto")
    .option("--cpu <percent>", "of one processor, for each of the two engines until the pause, e.g. 50")
    .option("--headroom <percent>", "of this host's processors, left idle by the first round; 0: none", "25")
    .option("--auto-converge", "slow the container down, step by step, if rounds do not help otherwise")
    .option("--not-converging <what>", "if rounds do not help: move (with a longer pause) or stay", "move")
    .option("--tracker <name>", "how written pages are found: auto, uffd or soft-dirty", "auto")
    .option("--keep-stopped", "leave the container here, stopped, for whoever has made it to delete")
    .option("--trace <file>", "write where the time went, for ui.perfetto.dev or chrome://tracing")
    .option("--json", "one JSON object a line: every event, the report last")
    .action(async (container: string, host: string, options: MigrateOptions, command: Command) => {
      const request = buildRequest(container, host, options);
      await withAgent(command, (client) => migrate(client, request, options.json === true, options.trace));
    });
}

function addCheck(program: Command): void {
  program
    .command("check")
    .description("say whether a container could be moved; touches nothing")
    .argument("<container>", "the container's id")
    .argument("<host>", "the destination")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--strategy <name>", "pipelined, precopy or stop-and-copy", "pipelined")
    .option("--json", "the findings as JSON")
    .action(
      async (
        container: string,
        host: string,
        options: { namespace: string; strategy: string; json?: boolean },
        command: Command,
      ) => {
        const report = await withAgent(command, (client) =>
          client.check({ container, host, namespace: options.namespace, strategy: options.strategy }),
        );
        print(options.json, report, renderCheck(report));
        if (!report.possible) process.exitCode = EXIT.refused;
      },
    );
}

function addStatus(program: Command): void {
  program
    .command("status")
    .description("show the migrations that the local agent knows of")
    .argument("[migration]", "only this one")
    .option("--json", "as JSON")
    .action(async (migration: string | undefined, options: { json?: boolean }, command: Command) => {
      const report = await withAgent(command, (client) => client.status({ migration: migration ?? "" }));
      print(options.json, report, renderStatus(report));
    });
}

function addCancel(program: Command): void {
  program
    .command("cancel")
    .description("cancel a migration; the container runs on at its source")
    .argument("<migration-or-container>", "the migration's id, or the container's")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--json", "as JSON")
    .action(async (name: string, options: { namespace: string; json?: boolean }, command: Command) => {
      const byId = /^[0-9a-f]{32}$/.test(name);
      const reply = await withAgent(command, (client) =>
        client.cancel(byId ? { migration: name } : { container: name, namespace: options.namespace }),
      );
      print(options.json, reply, `cancelled ${reply.migration} (it was in phase ${reply.phase})`);
    });
}

function addKeygen(program: Command): void {
  program
    .command("keygen")
    .description("make a key for encrypted checkpoints, in the form of age")
    .argument("<file>", "where the secret part goes; keep it off this host. The public part is printed")
    .action(async (file: string) => {
      const { makeIdentity } = await import("../checkpoint/age.js");
      process.stdout.write(`${await makeIdentity(file)}\n`);
    });
}

function addCerts(program: Command): void {
  program
    .command("certs")
    .description("make a test authority and certificates for hosts (for production use your own authority)")
    .argument("<host...>", "NAME or NAME=ADDRESS[,ADDRESS…] of each host")
    .requiredOption("--out <folder>", "where to put ca.crt, ca.key and a folder for each host")
    .option("--days <n>", "validity of the certificates in days", "365")
    .action(async (hosts: string[], options: { out: string; days: string }) => {
      const { makeCertificates } = await import("../certs/index.js");
      const made = await makeCertificates(options.out, hosts, Number(options.days));
      process.stdout.write(`${made.join("\n")}\n`);
    });
}

export function buildProgram(version: string): Command {
  const program = new Command("pclive")
    .description("live migration and checkpoints of containers")
    .version(version, "-v, --version")
    .option("--agent <socket>", "the local agent's socket", DEFAULT_SOCKET)
    .showHelpAfterError("(pclive --help tells more)")
    .exitOverride();
  for (const add of [
    addMigrate,
    addCheckpoint,
    addRestore,
    addDirtyRate,
    addCheck,
    addStatus,
    addCancel,
    addCerts,
    addKeygen,
    addProtect,
    addUnprotect,
    addFailover,
    addImages,
  ])
    add(program, withAgent);
  addInstall(program, version);
  addUninstall(program);
  addBench(program);
  program.addHelpText(
    "after",
    "\nExit codes: 0 done, 1 failed (the container runs on here), 2 usage, 3 refused by the check, 4 no agent,\n" +
      "5 cancelled, 6 no such container or migration, 7 committed but not yet confirmed.",
  );
  for (const command of program.commands) command.exitOverride();
  return program;
}

async function main(): Promise<void> {
  try {
    await buildProgram(process.env["PCLIVE_VERSION"] ?? "0.1.0").parseAsync(process.argv);
  } catch (error) {
    if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    else if (error instanceof CliError) {
      process.stderr.write(`${error.render()}\n`);
      process.exitCode = error.exitCode;
    } else {
      process.stderr.write(`pclive: ${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = EXIT.failed;
    }
  }
}

void main();
