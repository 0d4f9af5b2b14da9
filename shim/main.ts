/** containerd-shim-pclive-v2: chooses what this invocation does. Each action loads only what it needs. */
import { parseFlags } from "./cli/flags.js";

async function main(): Promise<void> {
  const flags = parseFlags(process.argv.slice(2));
  switch (flags.action) {
    case "start": {
      // The launcher tells containerd of an error; see its report.
      const [{ start }, { reportError }] = await Promise.all([
        import("./cli/start.js"),
        import("./cli/report.js"),
      ]);
      return start(flags).catch((error: unknown) => {
        reportError(textOf(error));
        process.exit(1);
      });
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
      const { version } = await import("./cli/info.js");
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
