/** `pclive failover`: the standby of a container that another host has lost. */
import type { Command } from "commander";
import { RESTORE_MS, renderRestore, type WithAgent } from "./checkpoint.js";
import { print } from "./options.js";

interface FailoverFlags {
  namespace: string;
  force?: boolean;
  json?: boolean;
}

export function addFailover(program: Command, withAgent: WithAgent): void {
  program
    .command("failover")
    .description("start a container here from the newest standby that another host has sent")
    .argument("<container>", "its id at that host")
    .option("-n, --namespace <name>", "containerd namespace", "default")
    .option("--force", "although it still runs there: from then on there are two")
    .option("--json", "as JSON")
    .action(async (container: string, flags: FailoverFlags, command: Command) => {
      const { namespace, force = false } = flags;
      const request = { container, namespace, force };
      const report = await withAgent(command, (client) => client.failover(request, RESTORE_MS));
      print(flags.json, report, renderRestore(report));
    });
}
