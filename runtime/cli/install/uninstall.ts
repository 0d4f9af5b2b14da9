/** Takes back what install did: a file that is as we left it becomes what it was; from one that was changed since, only our part goes. */
import { CliError } from "../exit.js";
import { digestOf } from "./apply.js";
import { removeHandler } from "./containerd-config.js";
import { removeRuntime } from "./docker-config.js";
import { runningShims, systemctl, systemdRuns } from "./host.js";
import { type Done, type Edited, readManifest } from "./manifest.js";
import { CONTAINERD_CONFIG, DOCKER_CONFIG, MANIFEST } from "./names.js";
import type { Root } from "./root.js";

/** One thing to take back. `note` tells what the person should know of it. */
export type Undo =
  | {
      readonly kind: "write";
      readonly of: "containerd" | "docker";
      readonly path: string;
      readonly before: string;
      readonly content: Uint8Array;
      readonly note: string;
      readonly drop?: string; // the saved copy that is no longer needed
    }
  | {
      readonly kind: "remove";
      readonly path: string;
      readonly before?: string;
      readonly of?: "containerd" | "docker";
    }
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "unit"; readonly name: string }
  | { readonly kind: "nothing"; readonly about: string; readonly why: string };

export interface UninstallOptions {
  readonly containerdConfig?: string;
  readonly dockerConfig?: string;
  /** Also while containers of ours run. */
  readonly force: boolean;
}

export function planUninstall(root: Root, options: UninstallOptions): Undo[] {
  if (!options.force) refuseRunning(root);
  const manifest = readManifest(root);
  const recorded = manifest?.done ?? [];
  const has = (kind: Done["kind"], path: string) =>
    recorded.some((entry) => entry.kind === kind && "path" in entry && entry.path === path);
  const unrecorded: Undo[] = [];
  const containerd = options.containerdConfig ?? CONTAINERD_CONFIG;
  const docker = options.dockerConfig ?? DOCKER_CONFIG;
  if (!has("containerd", containerd))
    unrecorded.push(takeOut(root, { kind: "containerd", path: containerd }));
  if (!has("docker", docker)) unrecorded.push(takeOut(root, { kind: "docker", path: docker }));
  // Backwards: what was made last goes first, a folder after what is in it.
  const undone = recorded.toReversed().map((entry) => undo(root, entry));
  const folders = undone.filter((step) => step.kind === "folder");
  return [...undone.filter((step) => step.kind !== "folder"), ...unrecorded, ...folders];
}

export function applyUndo(root: Root, steps: readonly Undo[]): void {
  for (const step of steps) {
    switch (step.kind) {
      case "write":
        root.write(step.path, step.content);
        if (step.drop !== undefined) root.remove(step.drop);
        break;
      case "remove":
        root.remove(step.path);
        break;
      case "unit":
        if (systemdRuns(root)) systemctl("disable", "--now", step.name);
        break;
      case "folder":
      case "nothing":
        break;
    }
  }
  // Until here a second try finds its record, which lies in one of the folders.
  root.remove(MANIFEST);
  for (const step of steps) if (step.kind === "folder") root.removeFolder(step.path);
}

function undo(root: Root, entry: Done): Undo {
  switch (entry.kind) {
    case "containerd":
    case "docker":
      return undoEdit(root, entry);
    case "file": {
      const bytes = root.read(entry.path);
      if (bytes === undefined) return { kind: "nothing", about: entry.path, why: "is gone already" };
      if (digestOf(bytes) === entry.after) return { kind: "remove", path: entry.path };
      return { kind: "nothing", about: entry.path, why: "was changed since, and is kept" };
    }
    case "link":
      if (root.linkTarget(entry.path) === entry.target) return { kind: "remove", path: entry.path };
      return { kind: "nothing", about: entry.path, why: "is not our link any more" };
    case "folder":
      return entry;
    case "unit":
      return entry;
  }
}

function undoEdit(root: Root, entry: Edited): Undo {
  const { path, before: former, kind } = entry;
  const bytes = root.read(path);
  if (bytes === undefined) return { kind: "nothing", about: path, why: "is gone already" };
  if (digestOf(bytes) !== entry.after) return takeOut(root, entry);
  const text = bytes.toString("utf8");
  if (former.was === "missing") return { kind: "remove", of: kind, path, before: text };
  const saved = former.was === "saved" ? savedCopy(root, former.backup, former.digest) : undefined;
  if (saved === undefined || former.was !== "saved") return takeOut(root, entry);
  return {
    kind: "write",
    of: kind,
    path,
    before: text,
    content: saved,
    note: "as it was",
    drop: former.backup,
  };
}

function savedCopy(root: Root, path: string, digest: string): Uint8Array | undefined {
  const bytes = root.read(path);
  return bytes !== undefined && digestOf(bytes) === digest ? bytes : undefined;
}

/** Our part alone, whatever else is in the file by now. */
function takeOut(root: Root, entry: Pick<Edited, "kind" | "path"> & Partial<Edited>): Undo {
  const { kind, path } = entry;
  const text = root.readText(path);
  if (text === undefined) return { kind: "nothing", about: path, why: "is not there" };
  const edit =
    kind === "containerd"
      ? removeHandler(path, text)
      : removeRuntime(path, text, entry.madeRuntimes === true);
  if (edit.kind !== "changed") return { kind: "nothing", about: path, why: edit.why };
  if (entry.before?.was === "missing" && isEmpty(edit.text))
    return { kind: "remove", of: kind, path, before: text };
  const note =
    entry.before?.was === "saved"
      ? `our part only; a copy from before is ${entry.before.backup}`
      : "our part only";
  return { kind: "write", of: kind, path, before: text, content: Buffer.from(edit.text), note };
}

function isEmpty(text: string): boolean {
  return /^\s*(\{\s*\}\s*)?$/.test(text);
}

/** containerd needs the shim to clean up behind a container. */
function refuseRunning(root: Root): void {
  const pids = runningShims(root);
  if (pids.length === 0) return;
  throw new CliError(
    "REFUSED",
    `${pids.length} container(s) or pod(s) run by PCLive here (shims ${pids.slice(0, 8).join(", ")}); nothing was changed`,
    "stop or migrate them first; --force leaves them running, but they cannot be cleaned up without the shim",
  );
}
