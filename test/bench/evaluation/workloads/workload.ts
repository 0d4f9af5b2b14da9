/** What the evaluation knows of a workload: how it starts, how it is loaded or watched, and how to find out that it is whole. */
import type { ChildProcess } from "node:child_process";
import type { Lab } from "../../../lab/lab.js";
import type { LoadReport } from "../../../lib/load.js";
import type { OngoingLoad } from "../../../lib/move-under-load.js";
import { RUNTIME, removeScript } from "../../../lib/redis.js";

export interface Place {
  readonly lab: Lab;
  readonly host: string;
  readonly id: string;
  readonly address: string;
}

/** A container at work. */
export interface Running {
  /** Begins to load it, or to watch it. */
  load(): OngoingLoad;
  /** @throws when something in it is not as it must be */
  verify(): Promise<void>;
  /** Takes away all that it had on `host`. */
  remove(host: string): Promise<void>;
}

export interface Workload {
  readonly what: string;
  /** Of its throughput, per second. */
  readonly unit: string;
  /** Makes what all its containers need, once. */
  prepare?(lab: Lab): Promise<void>;
  /** Starts it on `place.host` with about `memoryMb` of memory and waits until it is at work. */
  start(place: Place, memoryMb: number): Promise<Running>;
}

export async function runContainer(
  { lab, host, id, address }: Place,
  image: string,
  words: readonly string[] = [],
  flags: readonly string[] = [],
): Promise<void> {
  await lab.netns(host, id, address);
  await lab.exec(host, [
    ...["ctr", "run", "-d", "--runtime", RUNTIME, "--with-ns", `network:/run/netns/${id}`, ...flags],
    ...[lab.imageRef(image), id, ...words],
  ]);
}

export async function removeContainer(lab: Lab, host: string, id: string): Promise<void> {
  await lab.exec(host, ["sh", "-c", removeScript(id)], { timeoutMs: 60_000 });
}

/** Tries until `work` succeeds. @throws its last error when the time is over */
export async function eventually(work: () => Promise<unknown>, ms: number): Promise<void> {
  const deadline = Date.now() + ms;
  for (;;) {
    try {
      await work();
      return;
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

export const NODE = "/opt/node/bin/node";
export const BENCH = "/repo/build/js/test/bench";

const STOP_MS = 40_000;

/** A program on the client host that measures until it is told to end. */
export class ClientProgram implements OngoingLoad {
  private stdout = "";
  private stderr = "";
  private readonly ended: Promise<number>;

  /**
   * @param end tells it to
   * @param read makes a report of what it printed, and of its exit code
   */
  constructor(
    private readonly child: ChildProcess,
    private readonly end: (child: ChildProcess) => Promise<unknown>,
    private readonly read: (stdout: string, code: number) => LoadReport,
  ) {
    child.stdout?.on("data", (chunk: Buffer) => (this.stdout += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.ended = new Promise((resolve) => child.on("close", (code) => resolve(code ?? -1)));
  }

  async stop(lab: Lab): Promise<LoadReport> {
    await this.end(this.child);
    const timer = setTimeout(() => lab.signal(this.child, "SIGKILL"), STOP_MS);
    const code = await this.ended;
    clearTimeout(timer);
    try {
      return this.read(this.stdout, code);
    } catch {
      throw new Error(`the client ended with ${code} and no report: ${this.stderr.slice(-500)}`);
    }
  }
}

/** One that ends by SIGTERM and prints its report as JSON. */
export function jsonClient(lab: Lab, words: readonly string[]): ClientProgram {
  return new ClientProgram(
    lab.spawn("c", words),
    async (child) => lab.signal(child, "SIGTERM"),
    (stdout) => JSON.parse(stdout) as LoadReport,
  );
}
