/** The shim's log: lines into the bundle's fifo `log`, which containerd copies to its own. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "pino";
import { errnoOf } from "./errors.js";

export interface LogOptions {
  readonly bundle: string;
  readonly namespace: string;
  readonly id: string;
  readonly debug: boolean;
}

/** What the shim says and to whom it matters: fields for a machine, a text for a person. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

/** Most shims have nothing to say in their lives: pino is loaded with the first line that is not below the level. */
export function openLog(options: LogOptions): Log {
  let logger: Promise<Logger> | undefined;
  const at = (level: keyof Log) => (fields: object, text: string) => {
    if (level === "debug" && !options.debug) return;
    logger ??= openPino(options);
    // Lines keep their order, for all wait for the same promise.
    void logger.then((opened) => opened[level](fields, text));
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

async function openPino({ bundle, namespace, id, debug }: LogOptions): Promise<Logger> {
  const { pino, stdTimeFunctions } = await import("pino");
  const settings = {
    level: debug ? "debug" : "info",
    base: { shim: "pclive", namespace, id },
    timestamp: stdTimeFunctions.isoTime,
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
    const hadReader = this.#fd !== undefined;
    // The reader may have gone since the last line, and another one come.
    if (!this.#tryWrite(line) && hadReader) this.#tryWrite(line);
  }

  /** False when there is no reader. */
  #tryWrite(line: string): boolean {
    this.#fd ??= openQuietly(this.#path);
    if (this.#fd === undefined) return false;
    try {
      writeSync(this.#fd, line);
    } catch (error) {
      if (errnoOf(error) === "EAGAIN") return true;
      closeSync(this.#fd);
      this.#fd = undefined;
      return false;
    }
    return true;
  }
}

function openQuietly(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return undefined;
  }
}
