/** Images as streams: tar archives, which the engine makes and takes apart. */
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { quiet } from "../migration/deadline.js";
import { Engine } from "../migration/engine.js";
import { MigrationError } from "../migration/error.js";

export interface ArchivePlace {
  /** Folder of `pclive-engine`. */
  readonly libDir: string;
  /** An open descriptor: a pipe, a socket, a file. Or who carries the bytes from or to the engine, at its pace. */
  readonly stream: number | Carrier;
  readonly logFile: string;
  readonly onProgress?: (bytes: number) => void;
}

/** Reads the archive from the engine until its end, or writes it and ends the stream. */
export type Carrier = (engine: Duplex) => Promise<void>;

/** An archive's own key, and the header of age that brings it to those who may read the archive. */
export interface Seal {
  readonly header: string;
  /** Lower-case hex digits. */
  readonly key: string;
}

export interface ArchiveTotals {
  readonly files: number;
  readonly bytes: number;
  readonly ms: number;
}

export interface PackOptions extends ArchivePlace {
  /** Folder of the image. */
  readonly from: string;
  readonly compress: boolean;
  /** Whether it may be one that needs its parent, which does not come along. */
  readonly incremental?: boolean;
  readonly seal?: Seal | undefined;
}

export interface UnpackOptions extends ArchivePlace {
  /** An empty folder. */
  readonly to: string;
  /** The key of an archive with this header. */
  readonly unseal: (header: string) => Promise<string>;
}

/** Nothing came or went for so long: whoever is at the other end has gone to sleep. */
const STALL_MS = 3_600_000;

/** @throws MigrationError `images`, `stream`, `no-space`, `files` */
export function packImage(options: PackOptions): Promise<ArchiveTotals> {
  const { from, compress, incremental = false, seal } = options;
  return withEngine(options, (engine) =>
    engine.request(
      "pack",
      { from, compress, incremental, ...seal },
      { timeoutMs: STALL_MS, restartOnProgress: true },
    ),
  );
}

/** @throws MigrationError `images`, `unsupported`, `stream`, `no-space`, `files`; what `unseal` throws */
export function unpackImage(options: UnpackOptions): Promise<ArchiveTotals> {
  return withEngine(options, async (engine) => {
    const { header } = await engine.request("head", {}, { timeoutMs: STALL_MS });
    const sealed = header === "" ? {} : { key: await options.unseal(header) };
    const request = { to: options.to, ...sealed };
    return engine.request("unpack", request, { timeoutMs: STALL_MS, restartOnProgress: true });
  });
}

async function withEngine<T>(place: ArchivePlace, work: (engine: Engine) => Promise<T>): Promise<T> {
  const { stream } = place;
  const { engine } = await Engine.start({
    binary: join(place.libDir, "pclive-engine"),
    role: "archive",
    logFile: place.logFile,
    stream: typeof stream === "number" ? stream : "pipe",
    onEvent: (event) => {
      if (event.event === "progress") place.onProgress?.(event.writtenBytes ?? 0);
    },
  });
  try {
    const working = quiet(work(engine));
    if (typeof stream === "number" || !engine.stream) return await working;
    return await carry(engine, stream(engine.stream), working);
  } catch (error) {
    throw MigrationError.from(error);
  } finally {
    await engine.close();
  }
}

/** Whoever fails first ends the other, and is the reason. A reader sees the end of the archive when the engine has left. */
async function carry<T>(engine: Engine, carrying: Promise<void>, working: Promise<T>): Promise<T> {
  quiet(carrying);
  const result = await Promise.race([working, carrying.then(() => working)]);
  await engine.close();
  await carrying;
  return result;
}
