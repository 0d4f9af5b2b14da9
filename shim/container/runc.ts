/** runC as a container's options want it. */
import { join } from "node:path";
import { Runc } from "../../runtime/runc/index.js";
import { logFile } from "../bundle/files.js";
import type { RuntimeOptions } from "../bundle/options.js";
import type { ShimEnv } from "./env.js";

/** Where runC keeps its state when the options do not say; shared with the runc shim. */
const DEFAULT_ROOT = "/run/containerd/runc";

export function runcFor(
  env: Pick<ShimEnv, "namespace" | "runcEnv" | "runCommand">,
  bundle: string,
  options: RuntimeOptions,
): Runc {
  return new Runc({
    binary: options.binaryName,
    root: join(options.root || DEFAULT_ROOT, env.namespace),
    log: logFile(bundle),
    env: env.runcEnv,
    systemdCgroup: options.systemdCgroup,
    run: env.runCommand,
  });
}
