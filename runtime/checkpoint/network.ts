/**
 * The network of a container that is dumped and goes on: between two looks of CRIU at a socket nothing may arrive there. What clients
 * send meanwhile is kept and delivered when the container runs again, so that nobody waits for a retransmission.
 */
import { readlinkSync } from "node:fs";
import { attempt } from "../migration/deadline.js";
import { NetworkLock } from "../migration/netlock.js";
import { PacketHold } from "../migration/packet-hold.js";

export class QuietNetwork {
  readonly lock: NetworkLock;
  readonly #hold: PacketHold;

  private constructor(netns: string, engine: string) {
    this.lock = new NetworkLock(netns, "input");
    this.lock.prepare();
    this.#hold = new PacketHold(engine, netns);
  }

  /**
   * Makes ready; nothing is held up yet.
   * @param engine path of `pclive-engine`
   * @returns undefined when the container shares the host's network, which must not be locked
   */
  static of(pid: number, engine: string): QuietNetwork | undefined {
    const netns = `/proc/${pid}/ns/net`;
    try {
      if (readlinkSync(netns) === readlinkSync("/proc/self/ns/net")) return undefined;
      return new QuietNetwork(netns, engine);
    } catch {
      return undefined;
    }
  }

  /** Never rejects: without the lock the dump fails if something arrives at the wrong moment, and can be repeated. */
  async begin(): Promise<void> {
    this.#hold.keep();
    await attempt(() => this.lock.lock());
  }

  /**
   * @param thaw lets the container run; the network is open by then, and what was kept is delivered afterwards
   */
  async end(thaw: () => Promise<void>): Promise<void> {
    await attempt(() => this.lock.open());
    await thaw();
    this.#hold.release();
    await attempt(() => this.lock.unlock());
  }

  /** Ends what was prepared; a lock stays as it is. */
  async dispose(): Promise<void> {
    this.#hold.dispose();
    await attempt(() => this.lock.dispose());
  }
}
