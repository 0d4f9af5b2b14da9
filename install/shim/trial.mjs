// trial.mjs SHIM FOLDER: lets the shim serve one make-believe container after each kind of start, and keeps what V8
// compiled for that, as code caches of two of its scripts, FOLDER/start.cache and FOLDER/rest.cache.
// Run by Node with the flags that the shim will have. Nothing is measured or tested here, so runC is a script that
// starts a sleep, and no privilege is needed.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { containerd as first } from "#protos/bootstrap";
import { containerd, google } from "#protos/shim";
import { Client, Server, unary } from "#ttrpc";

const [shim, caches] = process.argv.slice(2);
const LIMIT_MS = 120_000;
// As in native/launcher/node.c, but for the caches, which are still to come.
const BOOTSTRAP = `
  const a = { exports: {} };
  process.dlopen(a, process.argv[1]);
  const vm = require("vm"), fs = require("fs"), Script = vm.Script;
  const made = (source, filename, name) => {
    const script = new Script(source, { filename });
    process.on("exit", () => fs.writeFileSync(${JSON.stringify(caches)} + "/" + name, script.createCachedData()));
    return script;
  };
`;
const SCRIPTS = {
  start: `${BOOTSTRAP}
    // The other script's cache is that of a server, below.
    vm.Script = function (source, { filename }) { return made(source, filename, "unused.cache"); };
    made(a.exports.startScript().source, process.argv[1], "start.cache").runInThisContext()(require, a.exports);`,
  serve: `${BOOTSTRAP}
    a.exports.leaveLauncher();
    a.exports.report(Buffer.of(6));
    made(a.exports.restScript().source, process.argv[1] + ":rest", "rest.cache")
      .runInThisContext()(require, a.exports).serveInherited(4);`,
};
const RUNC = `#!/bin/sh
for word; do
  [ "$before" != --pid-file ] || file=$word
  before=$word
done
[ -z "$file" ] || { sleep 0.3 & printf %s $! >"$file"; }
`;

const folder = mkdtempSync(join(tmpdir(), "pclive-trial-"));
const file = (name) => join(folder, name);
const any = (type, value) => ({ type_url: type, value: Buffer.from(value) });

function makeBundle() {
  writeFileSync(file("config.json"), JSON.stringify({ linux: { namespaces: [{ type: "pid" }] } }));
  writeFileSync(file("runc"), RUNC);
  chmodSync(file("runc"), 0o755);
  execFileSync("mkfifo", ["log", "stdin", "stdout", "stderr"].map(file));
}

async function serveEvents() {
  const events = new Server();
  const { ForwardRequest } = containerd.services.events.ttrpc.v1;
  events.addService("containerd.services.events.ttrpc.v1.Events", {
    Forward: unary(ForwardRequest, google.protobuf.Empty, () => ({})),
  });
  await events.listen({ path: file("events.sock") });
}

/** A shim's server; `report` resolves with what it says to its launcher. */
function startNode(script, listening) {
  const args = ["-namespace", "trial", "-id", "trial", "-address", file("containerd.sock"), "start"];
  const child = spawn(process.execPath, [...process.execArgv, "-e", script, "--", shim, ...args], {
    cwd: folder,
    env: { ...process.env, TTRPC_ADDRESS: file("events.sock") },
    stdio: ["pipe", "ignore", "inherit", "pipe", ...(listening ? [listening] : [])],
  });
  child.stdin.on("error", () => {}); // it need not read its input
  const report = new Promise((resolve, reject) => {
    const chunks = [];
    child.stdio[3].on("data", (chunk) => chunks.push(chunk));
    child.stdio[3].on("end", () => {
      const report = Buffer.concat(chunks);
      if (report[0] !== 6) return reject(new Error(`the shim did not start: ${report}`));
      resolve(report.subarray(1));
    });
  });
  return { child, report, ended: once(child, "exit") };
}

/** One that makes its socket; resolves with that. */
async function startAlone() {
  server = startNode(SCRIPTS.start);
  const { BootstrapParams, BootstrapResult } = first.runtime.bootstrap.v1;
  server.child.stdin.end(
    BootstrapParams.encode({ instanceId: "trial", namespace: "trial", socketDir: folder }).finish(),
  );
  return BootstrapResult.decode(await server.report).address.replace("unix://", "");
}

/** One that gets its socket. */
async function startPrepared() {
  const [made, path] = [file("made.sock"), file("prepared.sock")];
  const listener = createServer().listen(made);
  await once(listener, "listening");
  // Its name goes when we close it.
  renameSync(made, path);
  server = startNode(SCRIPTS.serve, listener._handle.fd);
  listener.close();
  server.child.stdin.end();
  await server.report;
  return path;
}

const api = containerd.task.v2;
const { Empty } = google.protobuf;
const METHODS = {
  Create: { request: api.CreateTaskRequest, response: api.CreateTaskResponse },
  Start: { request: api.StartRequest, response: api.StartResponse },
  State: { request: api.StateRequest, response: api.StateResponse },
  Exec: { request: api.ExecProcessRequest, response: Empty },
  Wait: { request: api.WaitRequest, response: api.WaitResponse },
  Kill: { request: api.KillRequest, response: Empty },
  CloseIO: { request: api.CloseIORequest, response: Empty },
  Delete: { request: api.DeleteRequest, response: api.DeleteResponse },
  Connect: { request: api.ConnectRequest, response: api.ConnectResponse },
  Shutdown: { request: api.ShutdownRequest, response: Empty },
};

/** The life of a container with one exec, as `ctr run --rm` and `ctr task exec` have it. */
async function live(task) {
  const id = "trial";
  const stdio = { stdin: file("stdin"), stdout: file("stdout"), stderr: file("stderr") };
  // Both ends, so that nobody waits for a reader.
  for (const path of Object.values(stdio)) openSync(path, "r+");
  const options = containerd.runc.v1.Options.encode({ binaryName: file("runc"), root: folder }).finish();
  const create = { id, bundle: folder, ...stdio, options: any("containerd.runc.v1.Options", options) };
  await task.Create(create);
  const exit = task.Wait({ id });
  await task.Start({ id });
  await task.State({ id });
  await task.Exec({ id, execId: "one", ...stdio, spec: any("process", '{"args":["true"]}') });
  await task.Start({ id, execId: "one" });
  await task.Wait({ id, execId: "one" });
  await task.Delete({ id, execId: "one" });
  await task.CloseIO({ id, stdin: true });
  await exit;
  await task.Kill({ id, signal: 9 }).catch(() => {});
  await task.Delete({ id });
  // Nothing is there to restore, nor an engine: what a restore begins with is compiled all the same.
  await task.Create({ ...create, checkpoint: folder });
  await task.Start({ id });
  await task.Kill({ id, signal: 9 }).catch(() => {});
  await task.Wait({ id });
  await task.Delete({ id });
  await task.Connect({ id });
  await task.Shutdown({ id, now: true });
}

let server;
const timer = setTimeout(() => {
  console.error(`trial: no end after ${LIMIT_MS} ms`);
  server?.child.kill("SIGKILL");
  process.exit(1);
}, LIMIT_MS);
try {
  makeBundle();
  await serveEvents();
  for (const start of [startAlone, startPrepared]) {
    const client = await Client.connect(await start(), { connectTimeoutMs: 5000 });
    await live(client.service("containerd.task.v2.Task", METHODS));
    await server.ended;
  }
  for (const name of ["start", "rest"]) {
    if (readFileSync(join(caches, `${name}.cache`)).length === 0) throw new Error(`trial: no code cache of ${name}`);
  }
} finally {
  server?.child.kill("SIGKILL");
  clearTimeout(timer);
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
