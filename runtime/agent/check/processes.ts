/** Descriptors of the container's processes that CRIU cannot carry to another host. */
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { type Finding, ok, refusal } from "./finding.js";

const O_DIRECT = 0o40000;
/** Character devices (major:minor) that are the same on every host. */
const COMMON_DEVICES = new Set(["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2"]);
const PTS_MAJORS = { first: 136, last: 143 };
/** Tables of socket families that CRIU knows how to carry. */
const SOCKET_TABLES = [
  "tcp",
  "tcp6",
  "udp",
  "udp6",
  "udplite",
  "udplite6",
  "raw",
  "raw6",
  "unix",
  "netlink",
  "packet",
];

export function checkProcesses(pids: readonly number[]): Finding[] {
  const found = new Map<string, Finding>();
  for (const pid of pids) {
    const sockets = new Lazy(() => knownSockets(pid));
    for (const fd of descriptors(pid)) {
      const finding = checkDescriptor(pid, fd, sockets);
      if (finding !== undefined && !found.has(finding.id)) found.set(finding.id, finding);
    }
  }
  return found.size > 0
    ? [...found.values()]
    : [ok("descriptors", `the open files of ${pids.length} processes can move`)];
}

function checkDescriptor(pid: number, fd: string, sockets: Lazy<Set<string>>): Finding | undefined {
  const target = attempt(() => readlinkSync(`/proc/${pid}/fd/${fd}`));
  if (target === undefined) return undefined;
  const which = `process ${pid}, descriptor ${fd}`;
  if (target.startsWith("anon_inode:[io_uring]")) {
    const remedy =
      "make the program not use io_uring (Node.js: UV_USE_IO_URING=0), or deny it by the seccomp profile";
    return refusal("io-uring", `the container uses io_uring (${which}), which CRIU cannot dump`, remedy);
  }
  if (target.startsWith("pipe:") && isPacketPipe(pid, fd)) {
    return refusal(
      "packet-pipe",
      `a pipe in packet mode (O_DIRECT) is open (${which}), which CRIU cannot dump`,
    );
  }
  const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
  if (inode !== undefined && !sockets.value.has(inode)) {
    const message = `a socket of an unusual family is open (${which}): only inet, unix, netlink and packet sockets can move`;
    return refusal("socket-family", message);
  }
  return target.startsWith("/") ? checkDevice(pid, fd, target, which) : undefined;
}

function checkDevice(pid: number, fd: string, path: string, which: string): Finding | undefined {
  const stats = attempt(() => statSync(`/proc/${pid}/fd/${fd}`));
  if (stats === undefined || !(stats.isCharacterDevice() || stats.isBlockDevice())) return undefined;
  const major = (stats.rdev >> 8) & 0xfff;
  const minor = (stats.rdev & 0xff) | ((stats.rdev >> 12) & 0xfff00);
  const pts = major >= PTS_MAJORS.first && major <= PTS_MAJORS.last;
  if (stats.isCharacterDevice() && (pts || COMMON_DEVICES.has(`${major}:${minor}`))) return undefined;
  return refusal(
    "device",
    `the device ${path} is open (${which}): its state cannot move`,
    "close it, or stop the program",
  );
}

function isPacketPipe(pid: number, fd: string): boolean {
  const text = attempt(() => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8")) ?? "";
  return (Number.parseInt(/^flags:\s*(\d+)/m.exec(text)?.[1] ?? "0", 8) & O_DIRECT) !== 0;
}

/** Inodes of sockets of the families that can move, in this process's network namespace. */
function knownSockets(pid: number): Set<string> {
  const inodes = new Set<string>();
  for (const table of SOCKET_TABLES) {
    const lines = (attempt(() => readFileSync(`/proc/${pid}/net/${table}`, "utf8")) ?? "").split("\n");
    const column = inodeColumn(table, lines[0] ?? "");
    for (const line of lines.slice(1)) {
      const inode = line.trim().split(/\s+/)[column];
      if (inode !== undefined) inodes.add(inode);
    }
  }
  return inodes;
}

function inodeColumn(table: string, head: string): number {
  if (table === "unix") return 6;
  if (table === "packet" || table === "netlink")
    return head
      .trim()
      .split(/\s+/)
      .findIndex((name) => name === "Inode");
  return 9; // the heads of these tables name columns that their lines do not part
}

function descriptors(pid: number): string[] {
  return attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
}

/** Processes end while we look: that is no error. */
function attempt<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch {
    return undefined;
  }
}

class Lazy<T> {
  private made: { readonly value: T } | undefined;
  constructor(private readonly make: () => T) {}
  get value(): T {
    this.made ??= { value: this.make() };
    return this.made.value;
  }
}
