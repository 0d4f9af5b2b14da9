/** The folder of one migration on this host, the logs that outlive it, and how it goes away. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { MigrationError } from "./error.js";
import type { Role } from "./handover.js";

const run = promisify(execFile);

export interface Places {
  /** Parent of the scratch folders; `/run` is a tmpfs: images never see a disk. */
  readonly runDir: string;
  /** Parent of the folders of kept logs. */
  readonly logDir: string;
}

/** On a disk: unlinked files for memory that waits, or for which there is no memory. */
export const SPOOL = "/var/lib/pclive/spool";

export const PLACES: Places = { runDir: "/run/pclive/m", logDir: "/var/log/pclive" };

/** A socket's path has 108 bytes in the kernel. */
const MAX_SOCKET_PATH = 107;

/**
 * What we want of CRIU beyond what runC asks for: sockets half-way through a handshake are left to the
 * client's retry instead of failing the dump, and unlinked files may be larger than CRIU's 1 MiB.
 */
const CRIU_CONFIG = "skip-in-flight\nghost-limit 67108864\nforce-irmap\n";

export class Scratch {
  readonly images: string;
  readonly work: string;
  readonly socket: string;
  readonly engineLog: string;
  readonly pidFile: string;
  readonly criuConfig: string;

  private constructor(
    readonly root: string,
    private readonly keptLogs: string,
    role: Role,
  ) {
    this.images = join(root, "images");
    this.work = join(root, "work");
    this.socket = join(root, role === "source" ? "dump.sock" : "stage.sock");
    this.engineLog = join(root, "engine.log");
    this.pidFile = join(root, "init.pid");
    this.criuConfig = join(root, "criu.conf");
  }

  /**
   * Makes an empty folder that only root can enter.
   * @throws MigrationError `wrong-state` when there is one of this migration already
   */
  static async create(migration: string, role: Role, places: Places = PLACES): Promise<Scratch> {
    const scratch = new Scratch(join(places.runDir, migration), join(places.logDir, migration), role);
    if (Buffer.byteLength(scratch.socket) > MAX_SOCKET_PATH) {
      throw new MigrationError("unsupported", `${scratch.socket} is too long for a socket`);
    }
    await mkdir(places.runDir, { recursive: true, mode: 0o700 });
    await mkdir(scratch.root, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
      throw new MigrationError("wrong-state", `migration ${migration} is under way on this host already`, {
        remedy: "begin a migration with a new id",
      });
    });
    await mkdir(scratch.images, { mode: 0o700 });
    await mkdir(scratch.work, { mode: 0o700 });
    await writeFile(scratch.criuConfig, CRIU_CONFIG);
    return scratch;
  }

  /** The images and what was written beside them go; the sockets stay. */
  async empty(): Promise<void> {
    for (const folder of [this.images, this.work]) {
      await unmountBelow(folder);
      for (const name of await readdir(folder))
        await rm(join(folder, name), { recursive: true, force: true });
    }
  }

  /** The environment in which runC finds our CRIU, and CRIU the engine. */
  environment(libDir: string): NodeJS.ProcessEnv {
    return {
      PATH: `${join(libDir, "criu")}:${process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}`,
      PCLIVE_SOCKET: this.socket,
      CRIU_CONFIG_FILE: this.criuConfig,
    };
  }

  /**
   * Copies the logs of a failure to where they outlive the migration. Returns that folder, or undefined when
   * there was nothing to keep. Never rejects: a full disk must not hide the failure itself.
   */
  async keepLogs(extra: readonly string[] = []): Promise<string | undefined> {
    try {
      const names = await readdir(this.work).catch(() => []);
      const logs = names.filter((name) => name.endsWith(".log")).map((name) => join(this.work, name));
      await mkdir(this.keptLogs, { recursive: true, mode: 0o700 });
      const copies = [...logs, this.engineLog, ...extra].map((path) =>
        copyFile(path, join(this.keptLogs, basename(path))).then(
          () => true,
          () => false,
        ),
      );
      return (await Promise.all(copies)).includes(true) ? this.keptLogs : undefined;
    } catch {
      return undefined;
    }
  }

  /**
   * Takes the folder away, after everything that CRIU may have left mounted in it. Idempotent.
   * @throws MigrationError `internal` when a mount stays: nothing below it is deleted then
   */
  async remove(): Promise<void> {
    await removeScratch(this.root);
  }
}

/** As `Scratch.remove`, for a folder whose owner is gone. */
export async function removeScratch(root: string): Promise<void> {
  await unmountBelow(root);
  await rm(root, { recursive: true, force: true });
}

/**
 * Unmounts everything at or below a folder, innermost first.
 * @throws MigrationError `internal`
 */
export async function unmountBelow(folder: string): Promise<void> {
  for (const path of mountsBelow(folder)) {
    await run("umount", ["--lazy", "--no-canonicalize", path], { timeout: 10_000 }).catch(() => undefined);
  }
  const left = mountsBelow(folder);
  if (left.length > 0) {
    throw new MigrationError("internal", `${left[0]} cannot be unmounted`, {
      remedy: `unmount it by hand, then remove ${folder}`,
    });
  }
}

/** Mount points at or below a folder, in the order in which they can be unmounted. */
export function mountsBelow(folder: string): string[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .map((path) =>
      path.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    )
    .filter((path) => path === folder || path.startsWith(`${folder}/`))
    .reverse();
}
