/** pclived: one per host. Accepts and drives migrations, prepares containers, answers the pclive command. */
import { Command } from "commander";
import pino from "pino";
import { startAgent } from "./agent.js";
import { DEFAULT_CONFIG, loadConfig, loadIdentity } from "./config.js";
import { AgentError } from "./errors.js";
import { VERSION } from "./system.js";

const EXIT_CONFIG = 2;

function program(): Command {
  return new Command("pclived")
    .description("the agent of PCLive: moves containers between hosts")
    .version(VERSION, "-v, --version")
    .option("--config <file>", "configuration, JSON", DEFAULT_CONFIG)
    .option("--check-config", "check the configuration and the certificates, and exit")
    .showHelpAfterError("(pclived --help tells more)");
}

async function main(): Promise<void> {
  const options = program().parse().opts<{ config: string; checkConfig?: boolean }>();
  const config = loadConfig(options.config);
  if (options.checkConfig === true) {
    loadIdentity(config);
    process.stdout.write(
      `${options.config} is good: host ${config.host}, listening at ${config.listen.host}:${config.listen.port}\n`,
    );
    return;
  }
  const log = pino({ level: config.log, base: { host: config.host } });
  const agent = await startAgent(config, log);
  let stopping = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      log.info({ signal }, "stopping");
      agent.stop().finally(() => process.exit(0));
    });
  }
}

main().catch((error: unknown) => {
  const { message, remedy } = AgentError.from(error);
  process.stderr.write(`pclived: ${message}${remedy === "" ? "" : ` (${remedy})`}\n`);
  process.exitCode = EXIT_CONFIG;
  // Servers that did start must not keep a half-started agent alive.
  setTimeout(() => process.exit(EXIT_CONFIG), 100).unref();
});
