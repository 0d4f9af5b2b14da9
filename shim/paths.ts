/** Where the shim's own files are. */
import { existsSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

/** Where packages and `make install` put them, for a shim that was copied somewhere else. */
const USUAL = ["/usr/local/lib/pclive", "/usr/lib/pclive"];

/**
 * Folder of the engine and of our CRIU: `PCLIVE_LIB`, else that of the shim's own installation, else a usual one.
 * Only migration needs them; where they are missing, it says so.
 */
export function libDir(): string {
  const beside = join(dirname(process.argv[1] ?? ""), "../lib/pclive");
  const named = process.env.PCLIVE_LIB;
  if (named) return named;
  return [beside, ...USUAL].find((folder) => existsSync(join(folder, "pclive-engine"))) ?? beside;
}

/** For the launcher and for Node alone; what we start shall not get them. */
const OURS = ["UV_THREADPOOL_SIZE", "MALLOC_ARENA_MAX"];

/** The environment for runC: containerd's, with our CRIU (if it is installed) before any other. */
export function runcEnvironment(lib: string): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of OURS) delete env[name];
  const criu = join(lib, "criu");
  if (existsSync(join(criu, "criu"))) env.PATH = `${criu}${delimiter}${env.PATH ?? ""}`;
  return env;
}
