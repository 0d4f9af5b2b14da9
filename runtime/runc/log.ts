/** runC's JSON log: one object a line, {level, msg, time}. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";

/** Only the end of a log is read: an error is the last thing that runC writes. */
const TAIL_BYTES = 64 * 1024;

/** The size of the log now, to tell this command's lines from those before it. 0 without a log. */
export function logSize(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** The last message of level error or worse after byte `from`; undefined when there is none. */
export function lastError(path: string, from: number): string | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const { size } = fstatSync(file);
    const start = Math.max(from, size - TAIL_BYTES);
    if (size <= start) return undefined;
    const bytes = Buffer.alloc(size - start);
    return lastErrorIn(bytes.toString("utf8", 0, readSync(file, bytes, 0, bytes.length, start)));
  } finally {
    closeSync(file);
  }
}

/** The same for text. Lines that are not JSON are passed over: runC's children write there too. */
export function lastErrorIn(text: string): string | undefined {
  for (const line of text.split("\n").reverse()) {
    const message = errorOfLine(line);
    if (message !== undefined) return message;
  }
  return undefined;
}

function errorOfLine(line: string): string | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== "object" || entry === null) return undefined;
    const { level, msg } = entry as { level?: unknown; msg?: unknown };
    const bad = level === "error" || level === "fatal" || level === "panic";
    return bad && typeof msg === "string" && msg !== "" ? msg : undefined;
  } catch {
    return undefined;
  }
}
