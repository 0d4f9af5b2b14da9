/** `pclive protect` and `pclive unprotect`: checkpoints of a running container, every so often. */
import { resolve } from "node:path";
import type { Command } from "commander";
import { pclive } from "#protos/agent";
import { formatBytes, formatMs, parseDuration } from "../format.js";
import { asked, type TakeFlags, type WithAgent, withTakeOptions } from "./checkpoint.js";
import { CliError } from "./exit.js";
import { print } from "./options.js";

interface ProtectFlags extends TakeFlags {
  namespace: string;
  every: string;
  keep: string;
  to?: string;
  list?: boolean;
  json?: boolean;
}

type Protection = pclive.agent.v1.IProtection;

export function addProtect(program: Command, withAgent: WithAgent): void {
  withTakeOptions(program.command("protect"))
    .description("checkpoint a container again and again while it runs, and keep the newest images")
    .argument("[container]", "the container's id")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--every <duration>", "from one checkpoint to the next", "30s")
    .option("--keep <n>", "how many of the newest can be restored", "3")
    .option(
      "--to <folder>",
      "where the images go; default: /var/lib/pclive/images/NAMESPACE/CONTAINER; peer:HOST: there, and the newest to HOST, for pclive failover",
    )
    .option("--list", "show what is protected, and how it goes")
    .option("--json", "as JSON")
    .action(async (container: string | undefined, flags: ProtectFlags, command: Command) => {
      if (flags.list === true || container === undefined) return list(flags, command, withAgent, container);
      const one = await withAgent(command, (client) => client.protect(requestOf(container, flags)));
      const text = `${container} is protected every ${formatMs(one.everyMs)}, in ${placesOf(one)}; see pclive protect --list`;
      print(flags.json, toJson(one), text);
    });
}

export function addUnprotect(program: Command, withAgent: WithAgent): void {
  program
    .command("unprotect")
    .description("no more checkpoints of a protected container; its images stay")
    .argument("<container>", "the container's id")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--json", "as JSON")
    .action(async (container: string, flags: { namespace: string; json?: boolean }, command: Command) => {
      const { namespace } = flags;
      const one = await withAgent(command, (client) => client.unprotect({ container, namespace }));
      print(flags.json, toJson(one), `${container} is not protected any more; its images stay in ${one.to}`);
    });
}

async function list(
  flags: ProtectFlags,
  command: Command,
  withAgent: WithAgent,
  container: string | undefined,
): Promise<void> {
  if (flags.list !== true)
    throw new CliError(
      "USAGE",
      "which container?",
      "name one, or ask for all that are protected with --list",
    );
  const { protections } = await withAgent(command, (client) => client.protections());
  const wanted = protections.filter((one) => container === undefined || one.container === container);
  const text = wanted.length === 0 ? "nothing is protected" : wanted.map((one) => render(one)).join("\n");
  print(flags.json, wanted.map(toJson), text);
}

function requestOf(container: string, flags: ProtectFlags): pclive.agent.v1.IProtectRequest {
  const { namespace, every, keep, to } = flags;
  const everyMs = parseDuration(every);
  if (everyMs === undefined)
    throw new CliError(
      "USAGE",
      `--every ${every} is no duration`,
      "write it like --every 30s or --every 10m",
    );
  if (!/^\d{1,4}$/.test(keep))
    throw new CliError("USAGE", `--keep ${keep} is no number`, "write it like --keep 3");
  const place = to === undefined || to.startsWith("peer:") ? to : resolve(to);
  return { ...asked(flags), container, namespace, everyMs, keep: Number(keep), to: place ?? "" };
}

/** One protection with its newest image, and what failed last. */
export function render(one: Protection, now = Date.now()): string {
  const { namespace, container, state, reason, everyMs, keep, to, images, failure, failedAt } = one;
  const how =
    state === "on" ? `every ${formatMs(everyMs ?? 0)}, keeps ${keep ?? 0}` : `ended: ${reason ?? ""}`;
  const newest = images?.at(-1);
  const lines = [`${namespace}/${container}: ${how}; ${images?.length ?? 0} images in ${placesOf(one)}`];
  if (newest) {
    const kind = newest.parent ? `since ${newest.parent}` : "complete";
    const age = formatMs(now - (newest.at ?? 0));
    const frozen = formatMs(newest.frozenMs ?? 0);
    lines.push(
      `  newest: ${to}/${newest.name}, ${age} ago (${kind}, ${formatBytes(Number(newest.bytes ?? 0))}, frozen ${frozen})`,
    );
  } else lines.push("  none yet");
  if (failure) {
    lines.push(`  FAILED ${formatMs(now - (failedAt ?? 0))} ago: ${failure.message ?? ""}`);
    if (failure.remedy) lines.push(`    try: ${failure.remedy}`);
  }
  return lines.join("\n");
}

function placesOf({ to, peer }: Protection): string {
  return peer ? `${to} and at ${peer}` : (to ?? "");
}

function toJson(one: Protection): object {
  const { Protection: type } = pclive.agent.v1;
  return type.toObject(type.create(one), { longs: Number, defaults: true });
}
