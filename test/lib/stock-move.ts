/**
 * Stop-and-copy with nothing of ours: runC and stock CRIU write an image, tar brings it over a connection between the hosts, runC and
 * CRIU restore it there. What somebody would do by hand, with all that can be prepared done before.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import type { Lab } from "../lab/lab.js";
import { STOCK_PATH, StockBundle } from "./checkpoint.js";
import type { Event, Report } from "./migrate.js";
import type { RedisContainer } from "./redis.js";

const PORT = 7411;
/** Host c of the lab. */
const CLIENT = "10.10.0.3";
const IMAGES = "/tmp/stock-move";
const MOVE_MS = 180_000;
const RECEIVE =
  "const n=require('net').createServer((s)=>{s.pipe(process.stdout);s.on('close',()=>n.close())});n.listen(" +
  `${PORT},()=>console.error('ready'))`;

export class StockMove {
  private constructor(
    private readonly lab: Lab,
    private readonly redis: RedisContainer,
    private readonly from: string,
    private readonly to: string,
    private readonly bundle: StockBundle,
  ) {}

  /** The container runs on `from`; `to` gets its files and a network that is switched on later. */
  static async prepare(lab: Lab, redis: RedisContainer, from: string, to: string): Promise<StockMove> {
    const { id, address } = redis.options;
    const bundle = await StockBundle.elsewhere(lab, from, to, id, await lab.image(to, "redis"));
    await lab.netns(to, id, address);
    await lab.exec(to, ["ip", "-n", id, "link", "set", "eth0", "down"]);
    // Not a word before the restore: the switch would send clients there, and the kernel, with no such connection, would end theirs.
    const silent = "net.ipv6.conf.eth0.disable_ipv6=1";
    await lab.exec(to, ["ip", "netns", "exec", id, "sysctl", "-qw", silent]);
    await lab.exec(from, announce(id));
    return new StockMove(lab, redis, from, to, bundle);
  }

  /** It has one phase only. @returns what there is to say of it */
  async run(onEvent: (event: Event) => void): Promise<Report> {
    const { lab, from, to } = this;
    onEvent({ at: Date.now(), phase: { name: "switchover" } });
    const begun = performance.now();
    const receiver = lab.spawn(to, ["bash", "-c", this.receive()]);
    const received = outcome(receiver);
    await Promise.race([ready(receiver), received]);
    await lab.exec(from, ["bash", "-c", await this.send()], { timeoutMs: MOVE_MS });
    return { totalMs: performance.now() - begun, restoreMs: Number(await received) };
  }

  async remove(): Promise<void> {
    await this.bundle.remove();
    await this.lab.exec(this.from, ["rm", "-rf", IMAGES]);
    await this.lab.exec(this.to, [
      "sh",
      "-c",
      `rm -rf ${IMAGES}; ip netns del ${this.redis.options.id}; true`,
    ]);
  }

  private async send(): Promise<string> {
    const { hosts } = await this.lab.status();
    const runc = "runc --root /run/containerd/runc/default checkpoint --tcp-established";
    return [
      `set -e; rm -rf ${IMAGES}; mkdir -p ${IMAGES}`,
      `env -u PCLIVE_SOCKET ${STOCK_PATH} ${runc} --image-path ${IMAGES} --work-path ${IMAGES} ${this.redis.options.id}`,
      `tar -c -C ${IMAGES} . >/dev/tcp/${hosts[this.to]?.address}/${PORT}`,
    ].join("\n");
  }

  private receive(): string {
    const { id } = this.redis.options;
    return [
      `set -e -o pipefail; rm -rf ${IMAGES}; mkdir -p ${IMAGES}`,
      `timeout ${MOVE_MS / 1000} /opt/node/bin/node -e "${RECEIVE}" | tar -x -C ${IMAGES}`,
      `ip -n ${id} link set eth0 up`,
      this.bundle.restoring(IMAGES),
      `${announce(id).join(" ")} >/dev/null`,
    ].join("\n");
  }
}

/** The switch learns where the address is: it is on two hosts, with one MAC. */
function announce(id: string): string[] {
  return ["ip", "netns", "exec", id, "ping", "-c", "1", "-W", "1", CLIENT];
}

async function ready(child: ChildProcess): Promise<void> {
  if (child.stderr) await once(child.stderr, "data");
}

/** @returns what it printed. @throws with what it complained of */
async function outcome(child: ChildProcess): Promise<string> {
  let printed = "";
  let said = "";
  child.stdout?.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the destination failed: ${said}${printed}`.slice(0, 2000));
  return printed;
}
