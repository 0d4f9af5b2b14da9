/** The guests of the yardstick, by test/softdirty/guests, and a second qemu process for one of them to move into. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Lab } from "../../lab/lab.js";

export type Accelerator = "tcg" | "kvm";

// build/js/test/bench/yardstick/guests.js → the repository
const COMMAND = fileURLToPath(new URL("../../../../../test/softdirty/guests", import.meta.url));
const NAME = "yardstick";
const UP_MS = 1_800_000; // the first time their disk is made
const RECEIVER_MS = 60_000;

export class Guests {
  /** Host a and b are guests; c, the client, is a host of the lab. */
  readonly lab: Lab;
  private readonly env: Readonly<Record<string, string>>;
  private starting: ChildProcess | undefined;
  private ending: Promise<void> | undefined;

  constructor(memoryMb: number, accelerator: Accelerator) {
    this.env = {
      LAB_COMMAND: COMMAND,
      GUEST_LAB: NAME,
      GUEST_MOVES: "1",
      GUEST_MB: String(memoryMb),
      GUEST_ACCEL: accelerator,
      GUEST_SECONDS: "300",
    };
    this.lab = new Lab(NAME, this.env);
  }

  async up(): Promise<void> {
    this.starting = this.spawn(["up"], { stdio: ["ignore", "ignore", "inherit"], timeout: UP_MS });
    if ((await exit(this.starting)) !== 0) throw new Error("the guests do not start");
  }

  /** Takes them away, also while they start or when somebody else has begun to. */
  down(): Promise<void> {
    this.ending ??= this.takeAway();
    return this.ending;
  }

  /** Starts a qemu process for the guest to move into. */
  async receive(host: string): Promise<Receiver> {
    const receiver = new Receiver(this.spawn(["receive", host], { stdio: "pipe" }));
    await receiver.ready();
    return receiver;
  }

  private async takeAway(): Promise<void> {
    const { starting } = this;
    if (starting?.kill("SIGTERM") === true) await exit(starting);
    await this.lab.down();
  }

  private spawn(words: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn(COMMAND, words, { ...options, env: { ...process.env, ...this.env } });
  }
}

/** A qemu process that waits for a guest. Unless it is kept, it goes again and the guest's network is as before. */
export class Receiver {
  /** QMP sockets of the two processes, and where the guest is to be sent. */
  source = "";
  destination = "";
  uri = "";
  private said = "";
  private readonly ended: Promise<number>;

  constructor(private readonly child: ChildProcess) {
    child.stderr?.on("data", (chunk: Buffer) => (this.said += chunk.toString()));
    child.stdin?.on("error", () => undefined); // it has ended, and its exit code tells why
    this.ended = exit(child);
  }

  async ready(): Promise<void> {
    if (this.child.stdout === null) throw new Error("the receiver has no output");
    const lines = createInterface({ input: this.child.stdout });
    const timer = setTimeout(() => this.child.kill("SIGTERM"), RECEIVER_MS);
    const [line] = (await Promise.race([once(lines, "line"), this.ended.then(() => [])])) as [string?];
    clearTimeout(timer);
    [this.source = "", this.destination = "", this.uri = ""] = line?.split(" ") ?? [];
    if (this.uri === "") throw new Error(`no qemu waits for the guest: ${this.said.trim()}`);
  }

  /** What the switch has for the guest goes to the second process from now on. */
  plug(): void {
    this.child.stdin?.write("plug\n");
  }

  /** The guest has moved: the first process ends. */
  async keep(): Promise<void> {
    this.child.stdin?.end("keep\n");
    if ((await this.ended) !== 0) throw new Error(`the guest has moved, but: ${this.said.trim()}`);
  }

  /** Takes the second process away unless it was kept. */
  async end(): Promise<void> {
    this.child.stdin?.end();
    await this.ended;
  }
}

/** @returns the exit code, -1 when a signal ended it */
async function exit(child: ChildProcess): Promise<number> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "close");
  return child.exitCode ?? -1;
}
