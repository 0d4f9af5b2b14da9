/** Processor time and memory of a whole host of the lab, from its control groups (v1 or v2). */
import type { Lab } from "../lab/lab.js";

export interface Usage {
  readonly cpuMs: number;
  /** The most that was in use, above what was when it began. */
  readonly peakBytes: number;
}

// v2 forgets an earlier peak only from Linux 6.12 on: then the peak since the host began counts.
const BEGIN = `
if [ -e /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then
  echo 0 >/sys/fs/cgroup/memory/memory.max_usage_in_bytes
else
  echo reset >/sys/fs/cgroup/memory.peak
fi 2>/dev/null`;

/** Prints nanoseconds, bytes now, bytes at the peak. */
const READ = `
if [ -e /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then
  cat /sys/fs/cgroup/cpuacct/cpuacct.usage
  cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory/memory.max_usage_in_bytes
else
  awk '$1 == "usage_usec" { print $2 "000" }' /sys/fs/cgroup/cpu.stat
  cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.peak
fi`;

export class HostUsage {
  private constructor(
    private readonly lab: Lab,
    private readonly host: string,
    private readonly cpuNs: number,
    private readonly bytes: number,
  ) {}

  static async begin(lab: Lab, host: string): Promise<HostUsage> {
    await lab.exec(host, ["sh", "-c", `${BEGIN}; true`]);
    const [cpuNs, bytes] = await read(lab, host);
    return new HostUsage(lab, host, cpuNs, bytes);
  }

  async end(): Promise<Usage> {
    const [cpuNs, , peak] = await read(this.lab, this.host);
    return { cpuMs: (cpuNs - this.cpuNs) / 1e6, peakBytes: Math.max(0, peak - this.bytes) };
  }
}

async function read(lab: Lab, host: string): Promise<[number, number, number]> {
  const { stdout } = await lab.exec(host, ["sh", "-c", READ]);
  const [cpuNs, bytes, peak] = stdout.trim().split("\n").map(Number);
  if (!Number.isFinite(cpuNs) || !Number.isFinite(bytes) || !Number.isFinite(peak))
    throw new Error(`no figures of ${host}: ${stdout.slice(0, 200)}`);
  return [cpuNs as number, bytes as number, peak as number];
}
