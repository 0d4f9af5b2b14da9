/**
 * Watches a container write its memory, as a migration's rounds would, and takes nothing of it away. The tracking ends with
 * the engine, so that nothing stays behind in the container whoever dies.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { attempt } from "../migration/deadline.js";
import { Engine } from "../migration/engine.js";
import { processesOf } from "../migration/freezer.js";
import { residentBytes } from "../migration/process.js";
import type { Cgroup, SourceContainer, Tracker } from "../migration/types.js";
import { leftToCriu, PAGE_BYTES, weigh } from "../migration/weigh.js";

export interface Look {
  /** The first time all that there is, later what was written since the look before. */
  readonly dirtyBytes: number;
  /** Different bytes found written since the first look. */
  readonly writtenBytes: number;
  readonly processes: number;
  /** The longest stop of a process. */
  readonly attachMs: number;
  readonly scanMs: number;
  readonly mappings: number;
  readonly pageTableBytes: number;
  readonly skeletonBytes: number;
  readonly memoryBytes: number;
}

const BEGIN_MS = 30_000;
const LOOK_MS = 60_000;

export class Measurement {
  private constructor(
    private readonly engine: Engine,
    private readonly cgroup: Cgroup,
    private readonly logFile: string,
    /** Which tracker there is. */
    readonly tracker: string,
    readonly residentBytes: number,
  ) {}

  /** @throws MigrationError */
  static async begin(
    container: Pick<SourceContainer, "bundle" | "cgroup" | "initPid">,
    options: { readonly tracker: Tracker; readonly libDir: string },
  ): Promise<Measurement> {
    const cgroup = await container.cgroup();
    const logFile = join(container.bundle, "measure.log");
    const { engine } = await Engine.start({
      binary: `${options.libDir}/pclive-engine`,
      role: "measure",
      logFile,
    });
    try {
      const what = {
        initPid: container.initPid(),
        cgroupProcs: cgroup.procsPaths,
        tracker: options.tracker,
      };
      const { tracker } = await engine.request("begin", what, { timeoutMs: BEGIN_MS });
      const resident = processesOf(cgroup).reduce((sum, pid) => sum + residentBytes(pid), 0);
      return new Measurement(engine, cgroup, logFile, tracker ?? options.tracker, resident);
    } catch (error) {
      await engine.close();
      await attempt(() => rm(logFile, { force: true }));
      throw error;
    }
  }

  /** @throws MigrationError */
  async look(): Promise<Look> {
    const [seen, burden] = await Promise.all([
      this.engine.request("look", {}, { timeoutMs: LOOK_MS }),
      weigh(processesOf(this.cgroup)),
    ]);
    const { mappings, pageTableBytes } = burden;
    const { processes, attachMs, scanMs, dirtyPages, writtenPages, knownPages } = seen;
    return {
      ...{ processes, attachMs, scanMs, mappings, pageTableBytes },
      dirtyBytes: dirtyPages * PAGE_BYTES,
      writtenBytes: writtenPages * PAGE_BYTES,
      memoryBytes: knownPages * PAGE_BYTES,
      skeletonBytes: leftToCriu(burden, knownPages),
    };
  }

  /** Idempotent, never rejects. */
  async end(): Promise<void> {
    await this.engine.close();
    await attempt(() => rm(this.logFile, { force: true }));
  }
}
