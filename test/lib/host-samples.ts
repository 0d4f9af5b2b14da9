/** Processor time and memory of a host of the lab over time, from its control groups, ten times a second. */
import type { ChildProcess } from "node:child_process";
import type { Lab } from "../lab/lab.js";

export interface HostSample {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Processors in use since the sample before. */
  readonly cpus: number;
  readonly bytes: number;
}

const MOST = 6000; // ten minutes

// A shell that forks nothing: it must not be what it measures.
const SAMPLE = `
cpu=/sys/fs/cgroup/cpuacct/cpuacct.usage memory=/sys/fs/cgroup/memory/memory.usage_in_bytes
[[ -e $cpu ]] || cpu=/sys/fs/cgroup/cpu.stat memory=/sys/fs/cgroup/memory.current
exec {never}<> <(:)
for ((i = 0; i < ${MOST}; i++)); do
  read -r used <$cpu; read -r bytes <$memory
  [[ $used != usage_usec* ]] || used=\${used#usage_usec }000
  echo "\${EPOCHREALTIME/./} $used $bytes"
  read -rt 0.1 -u $never
done`;

export class HostSampler {
  private text = "";
  private readonly ended: Promise<void>;

  private constructor(
    private readonly lab: Lab,
    private readonly child: ChildProcess,
  ) {
    child.stdout?.on("data", (chunk: Buffer) => (this.text += chunk.toString()));
    this.ended = new Promise((resolve) => child.once("close", () => resolve()));
  }

  static start(lab: Lab, host: string): HostSampler {
    return new HostSampler(lab, lab.spawn(host, ["bash", "-c", SAMPLE]));
  }

  async stop(): Promise<HostSample[]> {
    this.lab.signal(this.child, "SIGKILL");
    await this.ended;
    return samplesOf(this.text);
  }
}

/** @param text lines of "microseconds since 1970, nanoseconds of processor time, bytes" */
export function samplesOf(text: string): HostSample[] {
  const lines = text
    .split("\n")
    .map((line) => line.split(" ").map(Number))
    .filter((words): words is [number, number, number] => words.length === 3 && words.every(Number.isFinite));
  return lines.slice(1).map(([at, used, bytes], i) => {
    const [before, usedBefore] = lines[i] ?? [at, used];
    const cpus = at > before ? (used - usedBefore) / 1000 / (at - before) : 0;
    return { at: at / 1000, cpus, bytes };
  });
}
