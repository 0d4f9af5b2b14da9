/** `pclive install` and `pclive uninstall`. */
import { existsSync } from "node:fs";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { CliError } from "../exit.js";
import { applyChanges } from "./apply.js";
import { systemctl, systemdRuns } from "./host.js";
import { CONTAINERD_CONFIG, DOCKER_CONFIG, HANDLER, RUNTIME_TYPE } from "./names.js";
import { type InstallOptions, planInstall } from "./plan.js";
import { installStep, type Report, render, type Step, uninstallStep } from "./report.js";
import { Root } from "./root.js";
import { applyUndo, planUninstall, type UninstallOptions } from "./uninstall.js";

interface CommonWords {
  readonly root: string;
  readonly containerdConfig?: string;
  readonly dockerConfig?: string;
  readonly dryRun?: boolean;
  readonly restart?: boolean;
  readonly json?: boolean;
}
interface InstallWords extends CommonWords {
  readonly prefix: string;
  readonly containerd: boolean;
  readonly docker: boolean;
  readonly unit: boolean;
  readonly dockerVersion?: string;
}
interface UninstallWords extends CommonWords {
  readonly force?: boolean;
}

/** The daemons whose configuration changed. */
type Daemons = ReadonlySet<"containerd" | "docker">;

/** Takes the report; another than standard output in tests. */
type Write = (text: string) => void;

const toStdout: Write = (text) => void process.stdout.write(text);

export function addInstall(program: Command, version: string, write = toStdout): void {
  common(program.command("install"))
    .description(
      "set up containerd, Docker and systemd on this host for PCLive; may be run again at any time",
    )
    .option("--prefix <folder>", "where PCLive's files are", ownPrefix())
    .option("--no-containerd", "leave containerd's configuration alone")
    .option("--no-docker", "leave Docker's configuration alone")
    .option("--no-unit", "do not enable pclived.service")
    .option("--docker-version <version>", "Docker's version, where dockerd cannot be asked")
    .addHelpText("after", INSTALL_HELP)
    .action((words: InstallWords) => write(text(words, runInstall(words, version))));
}

export function addUninstall(program: Command, write = toStdout): void {
  common(program.command("uninstall"))
    .description("take back what `pclive install` did; PCLive's own files stay")
    .option(
      "--force",
      "also while containers run by PCLive; they run on, but containerd cannot clean up behind them",
    )
    .addHelpText("after", UNINSTALL_HELP)
    .action((words: UninstallWords) => write(text(words, runUninstall(words))));
}

function common(command: Command): Command {
  return command
    .option("--dry-run", "show what would change, as a diff; change nothing")
    .option("--restart", "restart containerd and reload Docker afterwards, where their configuration changed")
    .option("--containerd-config <file>", `containerd's configuration (default: ${CONTAINERD_CONFIG})`)
    .option("--docker-config <file>", `Docker's configuration (default: ${DOCKER_CONFIG})`)
    .option("--root <folder>", "work on the system below this folder: an image, a chroot", "/")
    .option("--json", "the report as JSON");
}

function runInstall(words: InstallWords, version: string): Report {
  const root = openRoot(words);
  const options: InstallOptions = {
    prefix: absolute("--prefix", words.prefix),
    containerd: words.containerd,
    docker: words.docker,
    unit: words.unit,
    ...configs(words),
    ...(words.dockerVersion === undefined ? {} : { dockerVersion: majorOf(words.dockerVersion) }),
  };
  const changes = planInstall(root, options);
  const dryRun = words.dryRun === true;
  const saved = dryRun ? new Map<string, string>() : applyChanges(root, changes, version);
  const edits = changes.filter((change) => change.kind === "edit");
  const daemons = new Set(edits.map((edit) => edit.of));
  const steps = changes.map((change) =>
    installStep(change, "path" in change ? saved.get(change.path) : undefined),
  );
  return {
    dryRun,
    steps,
    next: [...restart(root, daemons, words), ...firstSteps(edits.length > 0, options.prefix)],
  };
}

function runUninstall(words: UninstallWords): Report {
  const root = openRoot(words);
  const options: UninstallOptions = { force: words.force === true, ...configs(words) };
  const undone = planUninstall(root, options);
  const dryRun = words.dryRun === true;
  if (!dryRun) applyUndo(root, undone);
  const edits = undone.filter((step) => step.kind === "write" || step.kind === "remove");
  const daemons = new Set(edits.map((edit) => edit.of).filter((of) => of !== undefined));
  const steps = undone.map(uninstallStep).filter((step): step is Step => step !== undefined);
  return { dryRun, steps, next: restart(root, daemons, words) };
}

/** Restarts what may be restarted, and tells of the rest. */
function restart(root: Root, daemons: Daemons, words: CommonWords): string[] {
  const next: string[] = [];
  const now = words.restart === true && words.dryRun !== true && systemdRuns(root);
  const how = {
    containerd: {
      words: ["try-restart", "containerd.service"],
      why: "it reads its file at start; containers run on",
    },
    docker: { words: ["reload", "docker.service"], why: "it takes up the runtimes; nothing is stopped" },
  } as const;
  for (const daemon of daemons) {
    const { words: command, why } = how[daemon];
    if (!(now && systemctl(...command))) next.push(`systemctl ${command.join(" ")}    # ${why}`);
  }
  return next;
}

function firstSteps(changed: boolean, prefix: string): string[] {
  if (!changed) return [];
  return [
    `ctr run --runtime ${RUNTIME_TYPE} …, docker run --runtime ${HANDLER} …    # see docs/install.md`,
    `kubectl apply -f ${join(prefix, "share/pclive/runtimeclass.yaml")}    # on Kubernetes`,
  ];
}

function text(words: CommonWords, report: Report): string {
  return `${words.json === true ? JSON.stringify(report) : render(report)}\n`;
}

function openRoot(words: CommonWords): Root {
  const root = new Root(resolve(absolute("--root", words.root)));
  if (!existsSync(root.folder))
    throw new CliError("USAGE", `--root ${words.root}: no such folder`, "name another");
  if (root.isHost && words.dryRun !== true && process.geteuid?.() !== 0) {
    throw new CliError(
      "NOT_ROOT",
      "only root may change this host's configuration",
      "use sudo, or look with --dry-run",
    );
  }
  return root;
}

function configs(words: CommonWords): Pick<InstallOptions, "containerdConfig" | "dockerConfig"> {
  const { containerdConfig, dockerConfig } = words;
  return {
    ...(containerdConfig === undefined
      ? {}
      : { containerdConfig: absolute("--containerd-config", containerdConfig) }),
    ...(dockerConfig === undefined ? {} : { dockerConfig: absolute("--docker-config", dockerConfig) }),
  };
}

function absolute(option: string, path: string): string {
  if (isAbsolute(path) && !path.includes("\0")) return resolve(path);
  throw new CliError("USAGE", `${option}: "${path}" is not an absolute path`, "begin it with /");
}

function majorOf(version: string): number {
  const major = /^(\d{1,3})(\.|$)/.exec(version)?.[1];
  if (major !== undefined) return Number(major);
  throw new CliError("USAGE", `--docker-version: "${version}" is not a version`, "for example 24.0.7");
}

/** `<prefix>/lib/pclive` is where this program lies, unless it is run from elsewhere. */
function ownPrefix(): string {
  const folder = dirname(fileURLToPath(import.meta.url));
  return folder.endsWith("/lib/pclive") ? resolve(folder, "../..") : "/usr/local";
}

const INSTALL_HELP = `
What it does, each step only where it is needed:
  containerd   adds the CRI runtime handler "${HANDLER}" as a marked block to the configuration file that counts
               (${CONTAINERD_CONFIG}, or the last file it imports that configures CRI; versions 2 and 3);
               nothing when CRI is disabled: ctr, nerdctl and Docker need no configuration of containerd
  Docker       adds the runtime "${HANDLER}" to ${DOCKER_CONFIG} (Docker 24 and newer)
  shim         a link in /usr/local/bin, if PCLive lies where containerd does not look
  Kubernetes   writes the RuntimeClass manifest PREFIX/share/pclive/runtimeclass.yaml
  systemd      enables pclived.service

Comments and formatting stay. A file is replaced as a whole, after a copy FILE.pclive-DATE-TIME was made. What was done is
recorded in /var/lib/pclive/install.json for \`pclive uninstall\`. Nothing is restarted without --restart.
When one step must be refused (a file that is malformed, of version 1, or has another runtime of that name), nothing
is done at all; exit code 3.`;

const UNINSTALL_HELP = `
A file that is as install left it gets back every byte it had; one that was changed since loses our part only.
Refused (exit code 3) while containers run by PCLive, or while it is somebody's default runtime.`;
