/** What CRIU did when, from its log: the overlay's marks in it tell the time of day. */
import { type LogLine, parseLog } from "../criu/log.js";
import type { Span } from "./recorder.js";

type Stages = readonly (readonly [RegExp, string])[];

/** Each stage begins with the first line of its kind, and lasts until another begins. */
const DUMP: Stages = [
  [/^pclive: mark seized /, "namespaces, mounts, sockets"],
  [/^Obtaining task stat/, "task"],
  [/^Collecting mappings/, "mappings"],
  [/^Collecting fds/, "descriptors listed"],
  [/^(Parasite syscall_ip|Set up parasite blob)/, "parasite put in"],
  [/^Dumping opened files/, "descriptors"],
  [/^Dumping pages/, "pages of small mappings"],
  [/^Dumping (core|mm) /, "core, threads"],
  [/^Dumping (pstree|mountpoints)/, "process tree, mounts, files"],
  [/^Writing image inventory/, "inventory"],
  [/^Unfreezing tasks/, "tasks let go"],
];
const RESTORE: Stages = [
  [/^pclive: mark go /, "images read"],
  [/^Forking task with/, "processes made"],
  [/^Restoring resources/, "descriptors, mappings"],
  [/^(\d+: )?Restore via sigreturn/, "restorer"],
  [/^Restore finished successfully/, "tasks caught"],
  [/^pclive: mark held /, "held"],
  [/^pclive: mark released /, "released"],
];

/** Waiting for this is no stage. */
const MARK = /^pclive: mark \S+ at \d+ ns, told at (\d+) ns/;

export function criuSpans(role: "dump" | "restore", log: string): Span[] {
  const lines = parseLog(log);
  const offset = startOf(lines);
  if (offset === undefined) return [];
  const begins = beginsOf(lines, role === "dump" ? DUMP : RESTORE);
  const end = lines.at(-1)?.at ?? 0;
  return begins.map(({ name, at }, i) => ({
    track: "CRIU",
    name,
    at: offset + at,
    ms: Math.max(0, (begins[i + 1]?.at ?? end) - at),
  }));
}

/** Unix time, ms, at which the log's clock stood at 0. */
function startOf(lines: readonly LogLine[]): number | undefined {
  for (const { text, at } of lines) {
    const told = MARK.exec(text)?.[1];
    if (told !== undefined) return Number(BigInt(told) / 1000n) / 1000 - at;
  }
  return undefined;
}

/** A stage comes again for each task; several lines of one in a row are one. */
function beginsOf(lines: readonly LogLine[], stages: Stages): { name: string; at: number }[] {
  const begins: { name: string; at: number }[] = [];
  for (const { text, at } of lines) {
    const name = stages.find(([pattern]) => pattern.test(text))?.[1];
    const last = begins.at(-1);
    if (name === undefined || name === last?.name || at < (last?.at ?? 0)) continue;
    if (begins.length < MAX_STAGES) begins.push({ name, at });
  }
  return begins;
}

const MAX_STAGES = 2000;
