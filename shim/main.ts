/** containerd-shim-pclive-v2: chooses what this invocation does. Each action loads only what it needs. */
import { parseFlags } from "./cli/flags.js";

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2));
  switch (flags.action) {
    case "server": {
      const { runServer } = await import("./cli/run-server.js");
      return runServer(flags);
    }
    case "start": {
      const { start } = await import("./cli/start.js");
      return finish(await start(flags));
    }
    case "delete": {
      const { deleteLeftovers } = await import("./cli/delete.js");
      return finish(await deleteLeftovers(flags));
    }
    case "info": {
      const { info } = await import("./cli/info.js");
      return finish(await info());
    }
    case "version": {
      const { NAME, VERSION } = await import("./cli/info.js");
      return finish(
        `containerd-shim-pclive-v2:\n  Runtime:  ${NAME}\n  Version:  ${VERSION}\n  Node.js:  ${process.version}\n`,
      );
    }
  }
}

/** The answer and nothing else; exits even if something (a server's channel) is still open. */
function finish(answer: string | Uint8Array): void {
  process.stdout.write(answer, () => process.exit(0));
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`, () => process.exit(1));
});
