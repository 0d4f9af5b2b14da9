/** `start`: makes sure that a server runs for this container's group, and prints its address. */
import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { readSpec, writeAddress } from "../bundle/files.js";
import { within } from "../time.js";
import { type Bootstrap, parseBootstrap, readInput } from "./bootstrap.js";
import { joinShimCgroup } from "./cgroup.js";
import { checkIdentity, type Flags } from "./flags.js";
import { parseReport, type ServerReport } from "./report.js";
import { groupOf, isAlive, pathOfAddress, socketPath } from "./socket.js";

const SERVER_MS = 20_000;
const MAX_OOM_SCORE = 1000;

/** @returns the answer for containerd: the address of the shim's socket */
export async function start(flags: Flags): Promise<string> {
  checkIdentity(flags);
  const bundle = process.cwd();
  const [input, spec] = await Promise.all([readInput(), readSpec(bundle)]);
  const bootstrap = parseBootstrap(input, flags);
  const group = groupOf(flags.id, spec.annotations ?? {});
  const path = socketPath(pathOfAddress(flags.address), flags.namespace, group, bootstrap.socketDir);
  const address = `unix://${path}`;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  if (!(await isAlive(path))) await startServer(flags, bootstrap, path);
  await writeAddress(bundle, address);
  return address;
}

async function startServer(flags: Flags, bootstrap: Bootstrap, path: string): Promise<void> {
  const { namespace, id, address, publishBinary } = flags;
  const names = { namespace, id, address, "publish-binary": publishBinary, socket: path };
  const args = Object.entries(names).flatMap(([name, value]) => [`-${name}`, value]);
  if (bootstrap.debug) args.push("-debug");
  const script = process.argv[1] ?? "";
  // It must hold nothing of ours: containerd reads our output to its end.
  const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "pipe"],
  });
  const report = new Promise<ServerReport>((resolve, reject) => {
    let text = "";
    const channel = child.stdio[3] as NodeJS.ReadableStream;
    channel.on("data", (chunk: Buffer) => {
      text += chunk.toString("utf8");
    });
    channel.on("end", () => resolve(parseReport(text)));
    channel.on("error", reject);
    child.once("error", reject);
  });
  if (child.pid !== undefined) {
    await joinShimCgroup(bootstrap.shimCgroup, child.pid);
    await adjustOomScore(child.pid);
  }
  const answer = await within(SERVER_MS, "starting the shim's server", report).catch((error: unknown) => {
    child.kill("SIGKILL");
    throw error;
  });
  if (answer.kind === "failed") throw new Error(`the shim's server did not start: ${answer.message}`);
  child.unref();
}

/** A little likelier to be killed than containerd, much less than the containers. */
async function adjustOomScore(pid: number): Promise<void> {
  try {
    const parent = Number(await readFile(`/proc/${process.ppid}/oom_score_adj`, "utf8"));
    await writeFile(`/proc/${pid}/oom_score_adj`, String(Math.min(parent + 1, MAX_OOM_SCORE)));
  } catch {
    // Not allowed in some namespaces; then the score stays as inherited.
  }
}
