/** runC's JSON log: one object a line, {level, msg, time}. */
import { open } from "node:fs/promises";

/** Only the end of a log is read: an error is the last thing that runC writes. */
const TAIL_BYTES = 64 * 1024;

/** The size of the log now, to tell this command's lines from those before it. 0 without a log. */
export async function logSize(path: string): Promise<number> {
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return 0;
  try {
    return (await file.stat()).size;
  } finally {
    await file.close();
  }
}

/** The last message of level error or worse after byte `from`; undefined when there is none. */
export async function lastError(path: string, from: number): Promise<string | undefined> {
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const start = Math.max(from, size - TAIL_BYTES);
    if (size <= start) return undefined;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - start), 0, size - start, start);
    return lastErrorIn(buffer.toString("utf8", 0, bytesRead));
  } finally {
    await file.close();
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
