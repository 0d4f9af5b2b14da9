/** Where the shim's own files are. */
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Folder of the installed files: that of the running bundle, unless `PCLIVE_LIB` names another. */
export function libDir(): string {
  return process.env.PCLIVE_LIB ?? dirname(fileURLToPath(import.meta.url));
}

/** The environment for runC: ours, with our CRIU (if it is installed) before any other. */
export function runcEnvironment(lib: string): NodeJS.ProcessEnv {
  const criu = join(lib, "criu");
  if (!existsSync(join(criu, "criu"))) return process.env;
  return { ...process.env, PATH: `${criu}${delimiter}${process.env.PATH ?? ""}` };
}
