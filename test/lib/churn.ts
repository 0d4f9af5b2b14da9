/**
 * The churn program in a container: it knows every byte of its memory while it maps, unmaps, moves, discards and forks.
 */
import type { Lab } from "../lab/lab.js";
import { RUNTIME, removeScript } from "./redis.js";

export interface ChurnOptions {
  readonly id: string;
  readonly address: string;
  readonly memoryMb: number;
  readonly threads: number;
  /** Operations per second, of all threads together. */
  readonly rate: number;
}

const PORT = 7777;

export class ChurnContainer {
  private constructor(
    private readonly lab: Lab,
    readonly options: ChurnOptions,
  ) {}

  static async start(lab: Lab, host: string, options: ChurnOptions): Promise<ChurnContainer> {
    await lab.netns(host, options.id, options.address);
    const words = [
      "--memory",
      String(options.memoryMb),
      "--threads",
      String(options.threads),
      "--rate",
      String(options.rate),
      "--port",
      String(PORT),
    ];
    await lab.exec(host, [
      ...["ctr", "run", "-d", "--runtime", RUNTIME, "--with-ns", `network:/run/netns/${options.id}`],
      ...[lab.imageRef("churn"), options.id, "churn", ...words],
    ]);
    const churn = new ChurnContainer(lab, options);
    const deadline = Date.now() + 20_000;
    while (!(await churn.answer().catch(() => "")).startsWith("OK")) {
      if (Date.now() > deadline) throw new Error(`churn ${options.id} does not answer`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    return churn;
  }

  /** Has it check all its memory. @returns operations done so far @throws when a byte is wrong, or it is gone */
  async verify(): Promise<number> {
    const answer = await this.answer();
    const match = /^OK \d+ \d+ (\d+)/.exec(answer);
    if (match === null) throw new Error(`churn ${this.options.id} says: ${answer || "nothing"}`);
    return Number(match[1]);
  }

  async remove(host: string): Promise<void> {
    await this.lab.exec(host, ["sh", "-c", removeScript(this.options.id)], { timeoutMs: 60_000 });
  }

  private async answer(): Promise<string> {
    const script = `exec 3<>/dev/tcp/${this.options.address}/${PORT} && echo VERIFY >&3 && IFS= read -r -t 20 line <&3 && echo "$line"`;
    return (await this.lab.exec("c", ["bash", "-c", script])).stdout.trim();
  }
}
