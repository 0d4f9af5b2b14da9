/**
 * Speaks the engine's control protocol without moving a byte: for what a real engine cannot be made to do on
 * demand (die at a certain request, say nonsense, never answer). A script in FAKE_ENGINE tells what to do
 * instead of the ordinary answer: {"<command>": "die" | "hang" | "error" | "garbage" | "wrong"}.
 */
import { cpSync, existsSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

type Trouble = "die" | "hang" | "error" | "garbage" | "wrong";
const script = JSON.parse(process.env.FAKE_ENGINE ?? "{}") as Record<string, Trouble | undefined>;
/** Where the test, and the fake runC, look for what has happened. */
const traces = process.env.FAKE_TRACES ?? "/nonexistent";

const control = new Socket({ fd: 3 });
control.on("close", () => process.exit(0));
const say = (line: object) => control.write(`${JSON.stringify(line)}\n`);
const t = () => `${Date.now()}000000`;
const emit = (event: string, fields: object = {}) => say({ event, t: t(), ...fields });

const round = {
  ...{
    round: 1,
    processes: 1,
    areas: 2,
    pages: 10,
    zeroPages: 1,
    droppedPages: 0,
    bytes: 40960,
    wireBytes: 20000,
  },
  ...{
    ranges: 3,
    attachMs: 1.5,
    attachedProcesses: 1,
    scanMs: 1,
    readMs: 1,
    sendMs: 1,
    totalMs: 4,
    knownPages: 2,
  },
};

const ordinary: Record<string, (request: Record<string, unknown>) => object> = {
  hello: () => ({
    version: "test",
    wire: 1,
    features: { uffdWpAsync: true, softDirty: false, pagemapScan: true },
  }),
  connect: () => ({}),
  begin: () => {
    if (process.argv[2] !== "destination") emit("dump-held", { pid: 1 });
    else setTimeout(() => emit("overlay", { pid: 1 }), 20);
    return {};
  },
  round: () => {
    // For the CRIU of a second checkpoint.
    if (process.argv[2] === "checkpoint") emit("dump-held", { pid: 1 });
    emit("progress", { round: 1, pages: 10, bytes: 40960, wireBytes: 20000 });
    return round;
  },
  final: () => {
    emit("snapshotted");
    return { pages: 2, bytes: 8192, wireBytes: 9000, scanMs: 1, sendMs: 1, totalMs: 2 };
  },
  "dump-go": ({ holdEnd }) => {
    writeFileSync(`${traces}/go`, "");
    if (holdEnd) {
      const waiting = setInterval(() => {
        if (!existsSync(`${traces}/dumped`)) return;
        clearInterval(waiting);
        emit("dumped");
      }, 10);
    }
    return {};
  },
  "dump-end": () => {
    writeFileSync(`${traces}/end`, "");
    return {};
  },
  write: ({ skeleton, to, parent }) => {
    if (parent) writeFileSync(`${traces}/parent`, String(parent));
    emit("progress", { round: 0, pages: 5, bytes: 20480, wireBytes: 0 });
    cpSync(String(skeleton), String(to), { recursive: true });
    for (const name of ["pages-1.img", "inventory.img"]) writeFileSync(join(String(to), name), "x");
    return { files: 3, bytes: 20480, pages: 5, ms: 1 };
  },
  files: () => ({ files: 3, bytes: 1234 }),
  listen: () => {
    setTimeout(arrive, 60);
    return { port: 4711 };
  },
  stats: () => ({ stagedBytes: 4096, backlogBytes: 0, wireBytes: 5000 }),
  release: () => {
    writeFileSync(`${traces}/released`, "");
    return {};
  },
};

/** What a source would send. */
function arrive(): void {
  if (script.arrive === "die") process.exit(3);
  if (script.arrive === "hang") return;
  if (script.arrive === "error")
    return void emit("error", { code: "inconsistent", message: "pages are missing" });
  emit("connected");
  emit("round", { round: 1, stagedBytes: 4096, backlogBytes: 0 });
  emit("final");
  emit("files", { files: 3, bytes: 1234 });
  emit("go");
  emit("mark", { name: "forked" });
  setTimeout(() => emit("held", { memoryRestoreMs: 1.5 }), 20);
}

createInterface({ input: control }).on("line", (line) => {
  const request = JSON.parse(line) as { id: number; cmd: string };
  const { id, cmd } = request;
  switch (script[cmd]) {
    case "die":
      process.stderr.write(`dying of ${cmd}\n`);
      process.exit(3);
      break;
    case "hang":
      return;
    case "garbage":
      control.write("{not json\n");
      return;
    case "error":
      say({
        id,
        ok: false,
        error: { code: "peer-lost", message: `${cmd} failed`, remedy: "look at the network" },
      });
      return;
    case "wrong":
      say({ id, ok: true });
      return;
    default: {
      const answer = ordinary[cmd]?.(request as unknown as Record<string, unknown>);
      if (answer) say({ id, ok: true, ...answer });
      else say({ id, ok: false, error: { code: "unknown-command", message: cmd } });
    }
  }
});
