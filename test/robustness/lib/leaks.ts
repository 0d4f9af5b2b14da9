/** What a container leaves on a host when somebody forgets to clean up: listed before and after, and named. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { BUNDLES } from "./host.js";
import { sleep, until } from "./wait.js";

/** Kind → names. A name says what it is, and is the same as long as the thing exists. */
export type Inventory = ReadonlyMap<string, ReadonlySet<string>>;

const PROGRAMS = /pclive|runc|criu|containerd|busybox|^sleep|^sh |^cat /;
const FOLDERS = [BUNDLES, BUNDLES.replace("/run/", "/var/lib/"), "/run/containerd/runc/robust", "/run/runc"];

export function inventory(): Inventory {
  return new Map([
    ["process", processes()],
    ["socket", new Set([...list("/run/containerd/s"), ...sockets()])],
    ["mount", mounts()],
    ["fifo", find("/run", "p")],
    ["cgroup", find("/sys/fs/cgroup", "d")],
    ["folder", new Set(FOLDERS.flatMap((folder) => [...list(folder)]))],
    ["temporary file", new Set([...list("/tmp"), ...list("/run/containerd/fifo")].filter(isOurs))],
  ]);
}

/** containerd takes its folders for images of a checkpoint away itself, unless it is killed. */
function isOurs(path: string): boolean {
  return !/^\/tmp\/ct(r)?d-checkpoint/.test(path);
}

/** "kind: name" of everything that came and stayed. */
export function leaked(before: Inventory, after: Inventory): string[] {
  return [...after].flatMap(([kind, names]) =>
    [...names].filter((name) => !before.get(kind)?.has(name)).map((name) => `${kind}: ${name}`),
  );
}

/** Waits for what is on its way out. @throws Error with everything that stays */
export async function mustBeGone(before: Inventory, ms = 15_000): Promise<void> {
  let rest: string[] = [];
  await until(
    "nothing is left",
    () => {
      rest = leaked(before, inventory());
      return rest.length === 0;
    },
    ms,
  ).catch(() => {
    throw new Error(`${rest.length} things are left:\n${rest.slice(0, 40).join("\n")}`);
  });
}

/** "pid command" of every process in whose command line `word` stands. */
export function processesNaming(word: string): string[] {
  return [...processes()].filter((name) => name.includes(word));
}

function processes(): Set<string> {
  const found = new Set<string>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      const name = command === "" ? readFileSync(`/proc/${pid}/comm`, "utf8").trim() : command;
      // A kernel thread or a zombie has no command line; the latter is one too many.
      if (PROGRAMS.test(name) && !/^containerd /.test(name) && Number(pid) !== process.pid)
        found.add(`${pid} ${name}`);
    } catch {
      // It has ended while we looked.
    }
  }
  return found;
}

function sockets(): string[] {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n").slice(1);
  const names = lines.map((line) => line.trim().split(/\s+/)[7] ?? "");
  return names.filter((name) => name.startsWith("@") || name.startsWith("/run/containerd/s/"));
}

function mounts(): Set<string> {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  return new Set(lines.map((line) => line.split(" ")[4] ?? ""));
}

function find(folder: string, type: string): Set<string> {
  const text = execFileSync("find", [folder, "-xdev", "-type", type], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
    maxBuffer: 1 << 26,
  });
  return new Set(text.split("\n").filter((line) => line !== ""));
}

function list(folder: string): Set<string> {
  try {
    return new Set(readdirSync(folder).map((name) => join(folder, name)));
  } catch {
    return new Set();
  }
}

/** What a process holds. */
export interface Holdings {
  readonly threads: number;
  /** Descriptors by what they are: numbers taken out of their names. */
  readonly descriptors: ReadonlyMap<string, number>;
  /** Resident, KiB. */
  readonly rss: number;
}

export function holdings(pid: number): Holdings {
  const descriptors = new Map<string, number>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    let kind: string;
    try {
      kind = readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/:\[\d+\]/, "");
    } catch {
      continue;
    }
    descriptors.set(kind, (descriptors.get(kind) ?? 0) + 1);
  }
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0);
  return { threads: field("Threads"), rss: field("VmRSS"), descriptors };
}

/** What it holds at rest: a connection whose other end has just gone is still there for a moment. */
export async function settled(pid: number): Promise<Holdings> {
  let last = holdings(pid);
  await until(`process ${pid} takes and gives back no descriptors for half a second`, async () => {
    const earlier = last.descriptors;
    await sleep(500);
    last = holdings(pid);
    return isDeepStrictEqual(last.descriptors, earlier);
  });
  return last;
}

/** How often its threads have gone to sleep so far: at rest they are woken by nothing but timers. */
export function wakeups(pid: number): number {
  const count = (thread: string) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, "utf8");
    return Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  };
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + count(thread), 0);
}
