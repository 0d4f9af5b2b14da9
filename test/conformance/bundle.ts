/** Bundles as containerd makes them: config.json, a folder for the root file system, the log's fifo. */
import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdirSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";

export interface Spec {
  process: {
    args: string[];
    terminal: boolean;
    cwd: string;
    consoleSize?: { width: number; height: number };
    [key: string]: unknown;
  };
  root: { path: string; readonly: boolean };
  mounts: { destination: string; type: string; source: string; options?: string[] }[];
  linux: {
    cgroupsPath?: string;
    namespaces: { type: string; path?: string }[];
    resources?: object;
    [key: string]: unknown;
  };
  annotations?: { [name: string]: string };
}

let template: string | undefined;

function freshSpec(folder: string): Spec {
  if (template === undefined) {
    const scratch = join(folder, "spec");
    mkdirSync(scratch);
    execFileSync("runc", ["spec"], { cwd: scratch });
    template = readFileSync(join(scratch, "config.json"), "utf8");
  }
  return JSON.parse(template) as Spec;
}

/** @returns what closes the log again */
export function makeBundle(
  bundle: string,
  id: string,
  args: readonly string[],
  change: (spec: Spec) => void,
): () => void {
  const work = `${bundle}.work`;
  for (const folder of [bundle, join(bundle, "rootfs"), work]) mkdirSync(folder, { mode: 0o711 });
  symlinkSync(work, join(bundle, "work"));
  const spec = freshSpec(join(bundle, ".."));
  spec.process.args = [...args];
  spec.process.terminal = false;
  spec.root.readonly = false;
  change(spec);
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  return drainLog(join(bundle, "log"), join(bundle, "..", `${id}.log`));
}

/** containerd holds the fifo open for both directions and copies what comes. */
function drainLog(path: string, to: string): () => void {
  execFileSync("mkfifo", [path]);
  const socket = new Socket({ fd: openSync(path, constants.O_RDWR | constants.O_NONBLOCK) });
  const file = openSync(to, "a");
  socket.on("data", (chunk) => writeFileSync(file, chunk));
  socket.on("error", () => socket.destroy());
  socket.once("close", () => closeSync(file));
  return () => socket.destroy();
}
