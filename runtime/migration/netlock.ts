/**
 * Silence in the container's network namespace while it is nowhere: not a packet may be answered by a
 * stack whose sockets have moved, or are not there yet, for the answer would be a reset.
 *
 * At the source everything is dropped, ARP too. At the destination the namespace may announce itself
 * (gratuitous ARP, neighbour advertisements): the switches then know where the address has gone. While a container that runs
 * on is dumped ("input") it only hears nothing: its sockets must not change under the dump.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { quiet, within } from "./deadline.js";
import { MigrationError } from "./error.js";

/** The name of our tables; the agent's preparation of a namespace uses the same. */
const TABLE = "pclive";
/** Before anything else that a container may have set up. */
const PRIORITY = -400;

const chain = (family: string, hook: string) =>
  `add chain ${family} ${TABLE} lock-${hook} { type filter hook ${hook} priority ${PRIORITY}; policy drop; }\n`;

const LOCK_SOURCE =
  `add table inet ${TABLE}\n${chain("inet", "input")}${chain("inet", "output")}` +
  `add table arp ${TABLE}\n${chain("arp", "input")}${chain("arp", "output")}`;

/** CRIU marks the packets by which it tells a restored socket that its peer has closed (SOCCR_MARK). */
const CRIU_MARK = "0xc114";

const LOCK_DESTINATION =
  `add table inet ${TABLE}\n${chain("inet", "input")}${chain("inet", "output")}` +
  `add rule inet ${TABLE} lock-input meta mark ${CRIU_MARK} accept\n` +
  `add rule inet ${TABLE} lock-output meta mark ${CRIU_MARK} accept\n` +
  `add rule inet ${TABLE} lock-output meta l4proto ipv6-icmp accept\n`;

const LOCK_INPUT = `add table inet ${TABLE}\n${chain("inet", "input")}`;

type Side = "source" | "destination" | "input";
const LOCK: Readonly<Record<Side, string>> = {
  source: LOCK_SOURCE,
  destination: LOCK_DESTINATION,
  input: LOCK_INPUT,
};

/** Of chains that exist already: only their policy changes, which takes effect at once. */
const open = (...hooks: readonly string[]) =>
  hooks.map((hook) => `add chain inet ${TABLE} lock-${hook} { policy accept; }\n`).join("");

// "add" first: deleting what is not there would be an error, and fail the whole.
const UNLOCK = ["inet", "arp"]
  .map((family) => `add table ${family} ${TABLE}\ndelete table ${family} ${TABLE}\n`)
  .join("");

const NFT_MS = 5_000;

/** The lock of one namespace. Locking twice and unlocking what is not locked do no harm. */
export class NetworkLock {
  #locking: PreparedNft | undefined;
  #unlocking: PreparedNft | undefined;

  /** @param netns path of the namespace, e.g. /run/netns/x or /proc/PID/ns/net */
  constructor(
    private readonly netns: string,
    private readonly side: Side,
  ) {
    if (!netns.startsWith("/")) {
      throw new MigrationError(
        "network-lock-failed",
        `"${netns}" is not the absolute path of a network namespace`,
      );
    }
  }

  /** Starts what lock and unlock will need, so that each is only one write away (2 ms instead of 20). */
  prepare(): void {
    this.#locking ??= new PreparedNft(this.netns);
    this.#unlocking ??= new PreparedNft(this.netns);
  }

  /** Returns the milliseconds that it took. @throws MigrationError `network-lock-failed` */
  async lock(): Promise<number> {
    const begin = performance.now();
    const prepared = this.#locking;
    this.#locking = undefined;
    await this.#apply(prepared, LOCK[this.side], "locked");
    return performance.now() - begin;
  }

  /**
   * Lets everything through the lock (but ARP at a source); resolves when it does, after about 1 ms. `unlock` then takes the
   * lock itself away: for that nft waits several times as long, until the kernel has freed it.
   * @throws MigrationError `network-lock-failed`
   */
  async open(): Promise<void> {
    const prepared = this.#unlocking;
    this.#unlocking = undefined;
    const rules = this.side === "input" ? open("input") : open("input", "output");
    const opened = await prepared?.takesEffect(rules).then(
      () => true,
      () => false,
    );
    if (!opened) await this.unlock();
  }

  /** @throws MigrationError `network-lock-failed` */
  async unlock(): Promise<void> {
    const prepared = this.#unlocking;
    this.#unlocking = undefined;
    await this.#apply(prepared, UNLOCK, "unlocked");
  }

  /** Ends what was prepared; the namespace stays as it is. */
  async dispose(): Promise<void> {
    const prepared = [this.#locking, this.#unlocking];
    this.#locking = this.#unlocking = undefined;
    await Promise.all(prepared.map((nft) => nft?.cancel()));
  }

  async #apply(prepared: PreparedNft | undefined, rules: string, what: string): Promise<void> {
    try {
      // The prepared one may have died since: a fresh one is only slower.
      if (
        await prepared?.apply(rules).then(
          () => true,
          () => false,
        )
      )
        return;
      await new PreparedNft(this.netns).apply(rules);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new MigrationError(
        "network-lock-failed",
        `the network namespace ${this.netns} could not be ${what}: ${why}`,
        {
          remedy: "check that nft is installed and works in that namespace",
          cause: error,
        },
      );
    }
  }
}

/** An nft inside the namespace that has loaded everything and waits for its rules on standard input. */
class PreparedNft {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  readonly #echo: Promise<void>;
  #stderr = "";

  constructor(netns: string) {
    // With "-e" it repeats on standard output what the kernel has accepted, before it waits for anything else.
    this.#child = spawn("nsenter", [`--net=${netns}`, "nft", "-e", "-f", "-"], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#echo = new Promise((resolve) => this.#child.stdout?.once("data", () => resolve()));
    this.#child.stdout?.resume();
    this.#child.stdin?.on("error", () => undefined);
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4096);
    });
    this.#ended = once(this.#child, "close").then(
      ([code]) => code as number | null,
      (error: Error) => {
        this.#stderr = error.message;
        return null;
      },
    );
  }

  /** One transaction: all of the rules or none. @throws Error with nft's own words */
  async apply(rules: string): Promise<void> {
    this.#child.stdin?.end(rules);
    const code = await within(NFT_MS, "nft", this.#ended).catch(async (error: unknown) => {
      await this.cancel();
      throw error;
    });
    if (code !== 0) throw new Error(this.#stderr.trim() || `nft ended with status ${code}`);
  }

  /** As `apply`, but resolves when the kernel has accepted the rules, which must change something. */
  async takesEffect(rules: string): Promise<void> {
    const applied = quiet(this.apply(rules));
    await Promise.race([this.#echo, applied]);
  }

  async cancel(): Promise<void> {
    this.#child.kill("SIGKILL");
    await within(NFT_MS, "nft", this.#ended).catch(() => undefined);
  }
}
