/** What install would change on this host. Looks only; every reason to refuse is found here, before anything is touched. */
import { join } from "node:path";
import { CliError } from "../exit.js";
import { addHandler } from "./containerd-config.js";
import { chooseFile } from "./containerd-files.js";
import { addRuntime, hasRuntimes, unsuitable } from "./docker-config.js";
import { refused } from "./errors.js";
import { DAEMON_PATH, dockerMajor, findProgram, systemctl, systemdRuns } from "./host.js";
import { CONTAINERD_CONFIG, DOCKER_CONFIG, SHIM, UNIT } from "./names.js";
import type { Root } from "./root.js";
import { RUNTIME_CLASS } from "./runtime-class.js";

/** One thing to do, or one that is not to be done and why. */
export type Change =
  | {
      readonly kind: "edit";
      readonly of: "containerd" | "docker";
      readonly path: string;
      readonly before: string | undefined;
      readonly after: string;
      readonly madeRuntimes?: boolean;
    }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly before: string | undefined;
      readonly after: string;
    }
  | { readonly kind: "link"; readonly path: string; readonly target: string }
  | { readonly kind: "unit"; readonly name: string }
  | { readonly kind: "nothing"; readonly about: string; readonly why: string };

export interface InstallOptions {
  readonly prefix: string;
  /** Undefined: the usual place, if containerd is installed. */
  readonly containerdConfig?: string;
  readonly dockerConfig?: string;
  readonly dockerVersion?: number;
  readonly containerd: boolean;
  readonly docker: boolean;
  readonly unit: boolean;
}

export function planInstall(root: Root, options: InstallOptions): Change[] {
  return [
    ...planShim(root, options.prefix),
    ...(options.containerd ? [planContainerd(root, options)] : []),
    ...(options.docker ? [planDocker(root, options)] : []),
    planRuntimeClass(root, options.prefix),
    ...(options.unit ? [planUnit(root)] : []),
  ];
}

/** containerd and Docker look the shim up by its name. */
function planShim(root: Root, prefix: string): Change[] {
  const shim = join(prefix, "bin", SHIM);
  if (!root.exists(shim)) {
    throw new CliError(
      "NOT_INSTALLED",
      `${shim} is not there; nothing was changed`,
      "put PCLive in place first (`make install`), or name its folder with --prefix",
    );
  }
  const first = findProgram(root, SHIM);
  if (first !== undefined && root.real(first) === root.real(shim)) {
    return [{ kind: "nothing", about: "shim", why: `containerd finds ${first}` }];
  }
  if (first !== undefined) {
    throw refused(
      first,
      `containerd would take this shim and not ${shim}`,
      "remove the older installation first (its `pclive uninstall`, then install/install.sh --uninstall)",
    );
  }
  return [{ kind: "link", path: join(DAEMON_PATH[1], SHIM), target: shim }];
}

function planContainerd(root: Root, options: InstallOptions): Change {
  const main = options.containerdConfig ?? CONTAINERD_CONFIG;
  const wanted = options.containerdConfig !== undefined || root.exists(main);
  if (!wanted && findProgram(root, "containerd") === undefined) {
    return {
      kind: "nothing",
      about: "containerd",
      why: "not installed (name its file with --containerd-config if it is elsewhere)",
    };
  }
  const { path, text, inherited } = chooseFile(root, main);
  const edit = addHandler(path, text ?? "", inherited);
  if (edit.kind !== "changed") return { kind: "nothing", about: path, why: edit.why };
  return { kind: "edit", of: "containerd", path, before: text, after: edit.text };
}

function planDocker(root: Root, options: InstallOptions): Change {
  const path = options.dockerConfig ?? DOCKER_CONFIG;
  const skip = dockerIsUnsuitable(root, options);
  if (skip !== undefined) return { kind: "nothing", about: "docker", why: skip };
  const text = root.readText(path);
  const edit = addRuntime(path, text ?? "");
  if (edit.kind !== "changed") return { kind: "nothing", about: path, why: edit.why };
  const madeRuntimes = !hasRuntimes(path, text ?? "");
  return { kind: "edit", of: "docker", path, before: text, after: edit.text, madeRuntimes };
}

/** An entry that Docker does not know keeps it from starting: without its version it gets none. */
function dockerIsUnsuitable(root: Root, options: InstallOptions): string | undefined {
  if (options.dockerVersion !== undefined) return unsuitable(options.dockerVersion);
  const dockerd = findProgram(root, "dockerd");
  if (dockerd === undefined) return "not installed";
  const major = dockerMajor(root, dockerd);
  return major === undefined
    ? "its version is unknown, as `dockerd --version` does not run (state it with --docker-version)"
    : unsuitable(major);
}

function planRuntimeClass(root: Root, prefix: string): Change {
  const path = join(prefix, "share/pclive/runtimeclass.yaml");
  const before = root.readText(path);
  if (before === RUNTIME_CLASS) return { kind: "nothing", about: path, why: "is there" };
  return { kind: "file", path, before, after: RUNTIME_CLASS };
}

function planUnit(root: Root): Change {
  if (!systemdRuns(root)) return { kind: "nothing", about: UNIT, why: "systemd does not run here" };
  if (systemctl("is-enabled", "--quiet", UNIT)) return { kind: "nothing", about: UNIT, why: "is enabled" };
  return { kind: "unit", name: UNIT };
}
