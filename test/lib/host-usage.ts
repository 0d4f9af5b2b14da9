/** What a whole host of the lab takes: processor time and memory, from its control groups (v1 or v2), and its link. */
import type { Lab } from "../lab/lab.js";

export interface Usage {
  readonly cpuMs: number;
  /** The most that was in use, above what was when it began. */
  readonly peakBytes: number;
  /** Whatever has left by its link, with all headers. */
  readonly linkBytes: number;
}

// v2 forgets an earlier peak only from Linux 6.12 on: then the peak since the host began counts.
const BEGIN = `
if [ -e /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then
  echo 0 >/sys/fs/cgroup/memory/memory.max_usage_in_bytes
else
  echo reset >/sys/fs/cgroup/memory.peak
fi 2>/dev/null`;

/** Prints bytes sent, nanoseconds, bytes now, bytes at the peak; the last two of a host that is in no group of its own tell nothing of a peak. */
const READ = `
cat /sys/class/net/eth0/statistics/tx_bytes
if [ -e /sys/fs/cgroup/cpuacct/cpuacct.usage ]; then
  cat /sys/fs/cgroup/cpuacct/cpuacct.usage
  cat /sys/fs/cgroup/memory/memory.usage_in_bytes /sys/fs/cgroup/memory/memory.max_usage_in_bytes
else
  awk '$1 == "usage_usec" { print $2 "000" }' /sys/fs/cgroup/cpu.stat
  # No peak before Linux 5.19, and neither of a root group.
  [ -e /sys/fs/cgroup/memory.peak ] && cat /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.peak ||
    awk '{ kb[$1] = $2 } END { used = (kb["MemTotal:"] - kb["MemAvailable:"]) * 1024; printf "%d\\n%d\\n", used, used }' /proc/meminfo
fi`;

interface Figures {
  readonly sent: number;
  readonly cpuNs: number;
  readonly bytes: number;
  readonly peak: number;
}

export class HostUsage {
  private constructor(
    private readonly lab: Lab,
    private readonly host: string,
    private readonly before: Figures,
  ) {}

  static async begin(lab: Lab, host: string): Promise<HostUsage> {
    await lab.exec(host, ["sh", "-c", `${BEGIN}; true`]);
    return new HostUsage(lab, host, await read(lab, host));
  }

  async end(): Promise<Usage> {
    const { sent, cpuNs, peak } = await read(this.lab, this.host);
    const { before } = this;
    return {
      cpuMs: (cpuNs - before.cpuNs) / 1e6,
      peakBytes: Math.max(0, peak - before.bytes),
      linkBytes: sent - before.sent,
    };
  }
}

async function read(lab: Lab, host: string): Promise<Figures> {
  const { stdout } = await lab.exec(host, ["sh", "-c", READ]);
  const figures = stdout.trim().split("\n").map(Number);
  if (figures.length !== 4 || !figures.every(Number.isFinite))
    throw new Error(`no figures of ${host}: ${stdout.slice(0, 200)}`);
  const [sent = 0, cpuNs = 0, bytes = 0, peak = 0] = figures;
  return { sent, cpuNs, bytes, peak };
}
