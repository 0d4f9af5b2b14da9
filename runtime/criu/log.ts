/** CRIU's logs at level 4 (what runC asks for): one message a line, "(seconds.microseconds) text". */
import { open } from "node:fs/promises";

/** A dump of many processes writes some megabytes; more than this is not read. */
const MAX_LOG = 32 * 1024 * 1024;

export interface LogLine {
  /** Milliseconds since CRIU started. */
  readonly at: number;
  /** The task that wrote it, by its pid inside the container; undefined for CRIU itself. */
  readonly task: number | undefined;
  readonly text: string;
}

/** Lines with a time; others (continuations) are passed over. */
export function parseLog(log: string): LogLine[] {
  const lines: LogLine[] = [];
  for (const line of log.split("\n")) {
    const match = /^\((\d+)\.(\d{6})\)\s(?:(?:pie: )?\s*(\d+): )?(.*)$/.exec(line);
    if (!match) continue;
    const [, seconds, micros, task, text] = match;
    lines.push({
      at: Number(seconds) * 1000 + Number(micros) / 1000,
      task: task === undefined ? undefined : Number(task),
      text: text ?? "",
    });
  }
  return lines;
}

/**
 * What went wrong: the first error is the cause, those after it are consequences.
 * @returns undefined when there is no log or no error in it
 */
export async function failureIn(path: string): Promise<string | undefined> {
  const log = await readLog(path);
  return log === undefined ? undefined : firstError(log);
}

export function firstError(log: string): string | undefined {
  const errors = parseLog(log)
    .map((line) => /^Error \(([^)]*)\): (.*)$/.exec(line.text))
    .filter((match) => match !== null);
  // Without CAP_SYS_RESOURCE CRIU complains about limits and goes on: that is never the cause.
  const cause = errors.find((match) => !/RLIMIT|rlimit/.test(match[2] ?? ""));
  return cause && `${cause[2]} (CRIU, ${cause[1]})`;
}

/** @returns undefined when it cannot be read */
export async function readLog(path: string): Promise<string | undefined> {
  const file = await open(path, "r").catch(() => undefined);
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(Math.min(size, MAX_LOG)),
      0,
      Math.min(size, MAX_LOG),
      0,
    );
    return buffer.toString("utf8", 0, bytesRead);
  } catch {
    return undefined;
  } finally {
    await file.close();
  }
}
