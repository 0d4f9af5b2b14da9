/**
 * The load generator on the client host: started, ended, its report read.
 */
import type { ChildProcess } from "node:child_process";
import type { Lab } from "../lab/lab.js";
import { LOADGEN, type RedisContainer } from "./redis.js";

/** The JSON that test/programs/loadgen prints; windows are [start ms, due, received, p99 ms] per 100 ms. */
export interface LoadReport {
  readonly offered_rate: number;
  readonly achieved_rate: number;
  readonly elapsed_ms: number;
  readonly start_unix_ms: number;
  readonly sent: number;
  readonly received: number;
  readonly wrong: number;
  readonly errors: number;
  readonly late: number;
  readonly lost: number;
  readonly broken_connections: number;
  readonly client_gap_ms: number;
  readonly gap_end_unix_ms: number;
  readonly p50_ms: number;
  readonly p99_ms: number;
  readonly first_wrong: string;
  readonly windows: readonly (readonly [number, number, number, number])[];
}

export interface LoadOptions {
  readonly rate: number; // requests per second
  readonly reads: number; // share of GETs, 0 to 1
  readonly connections: number;
}

export class Load {
  private stdout = "";
  private stderr = "";
  private readonly ended: Promise<number>;

  private constructor(child: ChildProcess) {
    child.stdout?.on("data", (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve) => child.on("close", (code) => resolve(code ?? -1)));
  }

  /** Starts to offer load; it ends by `stop`, or by itself after ten minutes. */
  static start(lab: Lab, redis: RedisContainer, options: LoadOptions): Load {
    const words = [
      ...[
        LOADGEN,
        ...redis.loadArguments(),
        "--rate",
        String(options.rate),
        "--reads",
        String(options.reads),
      ],
      ...["--connections", String(options.connections), "--duration", "600", "--grace", "20"],
    ];
    return new Load(lab.spawn("c", words));
  }

  /** Ends the load, waits for what is outstanding, and reads the report. */
  async stop(lab: Lab): Promise<LoadReport> {
    await lab.exec("c", ["pkill", "-TERM", "-x", "loadgen"]).catch(() => undefined);
    const code = await this.ended;
    try {
      return JSON.parse(this.stdout) as LoadReport;
    } catch {
      throw new Error(`the load generator ended with ${code} and no report: ${this.stderr.slice(0, 500)}`);
    }
  }
}

const WINDOW_MS = 100;

/** The windows that lie wholly in [fromUnixMs, toUnixMs). */
export function windowsIn(report: LoadReport, fromUnixMs: number, toUnixMs: number): LoadReport["windows"] {
  return report.windows.filter(([start]) => {
    const at = report.start_unix_ms + start;
    return at >= fromUnixMs && at + WINDOW_MS <= toUnixMs;
  });
}

/** Achieved over offered requests in [fromUnixMs, toUnixMs), from the windows wholly inside; 1 when there is none. */
export function achievedShare(report: LoadReport, fromUnixMs: number, toUnixMs: number): number {
  let due = 0;
  let received = 0;
  for (const [, windowDue, windowReceived] of windowsIn(report, fromUnixMs, toUnixMs)) {
    due += windowDue;
    received += windowReceived;
  }
  return due === 0 ? 1 : received / due;
}
