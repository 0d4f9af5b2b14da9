/**
 * containerd-shim-pclive-v2: chooses what this invocation does. containerd waits for `start`, so that is here, with as
 * little as it needs; everything else is a script of its own in the shim's file.
 */
import { parseFlags } from "./cli/flags.js";
import { reportError } from "./cli/report.js";
import { start } from "./cli/start.js";

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2));
  switch (flags.action) {
    case "start": {
      // The launcher tells containerd of an error; see its report.
      return start(flags).catch((error: unknown) => {
        reportError(textOf(error));
        process.exit(1);
      });
    }
    case "delete": {
      const { deleteLeftovers } = await import("#shim/rest");
      return finish(await deleteLeftovers(flags));
    }
    case "info": {
      const { info } = await import("#shim/rest");
      return finish(await info());
    }
    case "version": {
      const { version } = await import("#shim/rest");
      return finish(version());
    }
  }
}

/** The answer and nothing else; exits even if something is still open. */
function finish(answer: string | Uint8Array): void {
  process.stdout.write(answer, () => process.exit(0));
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

main().catch((error: unknown) => {
  process.stderr.write(`${textOf(error)}\n`, () => process.exit(1));
});
