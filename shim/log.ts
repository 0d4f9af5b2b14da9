/** The shim's log: lines into the bundle's fifo `log`, which containerd copies to its own. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import pino, { type Logger } from "pino";
import { errnoOf } from "./errors.js";

export interface LogOptions {
  readonly bundle: string;
  readonly namespace: string;
  readonly id: string;
  readonly debug: boolean;
}

export function openLog(options: LogOptions): Logger {
  const { bundle, namespace, id, debug } = options;
  const settings = {
    level: debug ? "debug" : "info",
    base: { shim: "pclive", namespace, id },
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  return pino(settings, new FifoLog(join(bundle, "log")));
}

/**
 * Writes lines or drops them; a log never makes the shim wait. Without a reader (containerd is away) or with a full
 * pipe lines are lost; the fifo is opened again with the next line after its reader has gone.
 */
class FifoLog {
  readonly #path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  write(line: string): void {
    this.#fd ??= openQuietly(this.#path);
    if (this.#fd === undefined) return;
    try {
      writeSync(this.#fd, line);
    } catch (error) {
      if (errnoOf(error) === "EAGAIN") return;
      closeSync(this.#fd);
      this.#fd = undefined;
    }
  }
}

function openQuietly(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
