/**
 * Restores a container from an image with the engine: runC and CRIU start as ever, but on a shadow of the image, and
 * CRIU waits until the engine has put the bulk of the memory into it.
 *
 *   engine:        check the image ─ write the shadow ─ stage ──────── go             release
 *   runC, CRIU:    start ──────────────────── wait in the overlay ───┘ restore ─ hold ─┘ run
 *
 * Up to go, all can be taken back and plain runC be asked instead. Much memory is not staged: go comes at once, release when all
 * sums are checked, and pages come lazily while the tasks run, at once those that they wait for, then the rest.
 */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { removeCgroupYards } from "../criu/cgroup-yard.js";
import { attempt, quiet, within } from "../migration/deadline.js";
import { Engine } from "../migration/engine.js";
import type { Answer, EngineEvent } from "../migration/engine-messages.js";
import { MigrationError } from "../migration/error.js";
import { HeldRestore } from "../migration/restore.js";
import type { RestoreOptions, Runc } from "../runc/index.js";
import { RestorePlace } from "./restore-place.js";

export interface ImageToRestore {
  /** Folder of the engine and of our CRIU. */
  readonly libDir: string;
  readonly bundle: string;
  /** Folder of the image. */
  readonly imagePath: string;
}

export interface RestoreRequest {
  readonly id: string;
  readonly runc: Runc;
  /** As for plain runC. */
  readonly options: RestoreOptions;
  /** CRIU does not start before: nothing is in the way of the image's connections. Never rejects. */
  readonly cleared: Promise<void>;
}

/** The engine reads the image already; its tasks may follow, at most once. */
export interface BegunRestore {
  /** @throws MigrationError `images`; what runC says when it has failed after go */
  finish(request: RestoreRequest): Promise<RestoreOutcome>;
  /** Instead of `finish`: takes back what was begun. Idempotent, never rejects. */
  drop(): Promise<void>;
}

export type RestoreOutcome =
  | {
      readonly kind: "restored";
      readonly bytes: number;
      readonly verified: boolean;
      /** When the tasks have all their memory. Rejects when they were ended since it could not be had. */
      readonly filled: Promise<void>;
    }
  /** Nothing is left of the try; `why` is for the log. */
  | { readonly kind: "unable"; readonly why: string };

const LISTEN_MS = 10_000;
/** Reading an image's small files and checking their sums; the memory comes later. */
const BEGIN_MS = 60_000;
/** For memory that comes while the tasks run: much, and what a slow disk needs. */
const FILL_MS = 60_000;
const FILL_BYTES_PER_MS = 10_000;
/** From CRIU's end to that of runC, which tells why. */
const RUNC_MS = 5_000;

/** Damaged images are no reason to try another way: the error says which file. */
const DAMAGED = "images";

/** Never rejects: what is wrong with the image is told at `finish`. */
export async function beginRestore(image: ImageToRestore): Promise<BegunRestore> {
  const missing = whatIsMissing(image);
  if (missing) return unable(missing);
  try {
    return new Attempt(image, await RestorePlace.create(image.bundle, image.imagePath));
  } catch (error) {
    return unable(MigrationError.from(error).message);
  }
}

function whatIsMissing({ libDir, imagePath }: ImageToRestore): string | undefined {
  const needed = [join(libDir, "pclive-engine"), join(libDir, "criu/criu"), join(imagePath, "inventory.img")];
  const missing = needed.find((path) => !existsSync(path));
  return missing && `there is no ${basename(missing)} in ${join(missing, "..")}`;
}

function unable(why: string): BegunRestore {
  return { finish: async () => ({ kind: "unable", why }), drop: async () => undefined };
}

class Attempt implements BegunRestore {
  #gone = false;
  #lazy = false;
  #released = false;
  #bytes = 0;
  readonly #engine: Engine;
  readonly #begun: Promise<Answer<"begin">>;

  constructor(
    image: ImageToRestore,
    private readonly place: RestorePlace,
  ) {
    this.#engine = Engine.spawn({
      binary: join(image.libDir, "pclive-engine"),
      role: "restore",
      logFile: place.engineLog,
      onEvent: (event) => this.#notice(event),
    });
    const { shadow, socket } = place;
    const what = { imageDir: image.imagePath, shadowDir: shadow, overlaySocket: socket, lazy: true };
    this.#begun = quiet(this.#engine.request("begin", what, { timeoutMs: BEGIN_MS }));
  }

  async finish(request: RestoreRequest): Promise<RestoreOutcome> {
    let filling: Promise<void> | undefined;
    try {
      const outcome = await this.#restore(request);
      if (outcome.kind !== "restored" || !this.#lazy) return outcome;
      filling = quiet(this.#filled().finally(() => this.#clear()));
      return { ...outcome, filled: filling };
    } finally {
      if (!filling) await this.#clear();
    }
  }

  async drop(): Promise<void> {
    await attempt(() => this.#clear());
  }

  async #clear(): Promise<void> {
    await this.#engine.close();
    await this.place.remove();
  }

  async #restore(request: RestoreRequest): Promise<RestoreOutcome> {
    let restore: HeldRestore | undefined;
    try {
      await Promise.race([this.#engine.event("listening", LISTEN_MS), this.#begun]);
      await request.cleared;
      restore = new HeldRestore(this.#runc(request));
      const { verified = false } = await this.#begun;
      await Promise.race([restore.ended, this.#engine.failed]);
      return { kind: "restored", bytes: this.#bytes, verified, filled: Promise.resolve() };
    } catch (thrown) {
      return await this.#failed(thrown, request, restore);
    }
  }

  async #filled(): Promise<void> {
    await this.#engine.event("filled", FILL_MS + this.#bytes / FILL_BYTES_PER_MS);
  }

  #runc({ id, runc, options }: RestoreRequest) {
    const { bundle, pidFile } = options;
    const { shadow, root, environment } = this.place;
    return {
      ...{ container: { id, bundle, runc }, root, pidFile },
      run: (call: object) =>
        runc.restore(id, { ...options, ...call, imagePath: shadow, env: { ...options.env, ...environment } }),
    };
  }

  #notice(event: EngineEvent): void {
    if (event.event === "go") {
      this.#gone = true;
      this.#bytes = event.bytes ?? 0;
      this.#lazy = event.lazy ?? false;
    }
    if (event.event === "released") this.#released = true;
  }

  async #failed(
    thrown: unknown,
    { options }: RestoreRequest,
    restore: HeldRestore | undefined,
  ): Promise<RestoreOutcome> {
    // The tasks run: what the engine has to say does not matter any more, runC's answer does.
    if (this.#released && !this.#lazy) {
      await restore?.ended;
      return { kind: "restored", bytes: this.#bytes, verified: false, filled: Promise.resolve() };
    }
    const cause = await causeOf(thrown, restore);
    await this.#engine.close();
    await restore?.stop();
    await removeCgroupYards(options.workPath ?? "");
    if (this.#gone || cause.code === DAMAGED) throw cause.error;
    return { kind: "unable", why: cause.error.message };
  }
}

/** When CRIU or runC fails, the engine notices it first, but runC knows why. */
async function causeOf(
  thrown: unknown,
  restore: HeldRestore | undefined,
): Promise<{ code: string; error: Error }> {
  const error = MigrationError.from(thrown, "restore-failed");
  if (error.code !== "overlay-lost" || !restore) return { code: error.code, error };
  const said = await attempt(() => within(RUNC_MS, "runc restore", reasonOf(restore)));
  return { code: error.code, error: said ?? error };
}

async function reasonOf(restore: HeldRestore): Promise<Error | undefined> {
  return restore.ended.then(
    () => undefined,
    (thrown: Error) => thrown,
  );
}
