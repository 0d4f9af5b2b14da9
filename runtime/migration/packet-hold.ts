/**
 * What clients send to the container while it is nowhere is kept, and delivered when it runs again. Without this they would
 * notice only when a retransmission time-out ends, which doubles with every try: a pause of 0.3 s could look like 0.6 s.
 *
 * It is an improvement, not a need: whatever fails here is as if packets had been lost on the way.
 */
import { type ChildProcess, spawn } from "node:child_process";

export class PacketHold {
  readonly #child: ChildProcess;

  /**
   * Keeps from now on; `keep` begins anew.
   * @param engine path of `pclive-engine`, whose role `hold` does the work
   * @param netns path of the container's network namespace, whose interfaces are there already
   */
  constructor(engine: string, netns: string) {
    this.#child = spawn(engine, ["hold", netns], { stdio: ["pipe", "ignore", "ignore"] });
    this.#child.on("error", () => undefined);
    this.#child.stdin?.on("error", () => undefined);
  }

  /** Forgets what was kept so far: it has arrived. */
  keep(): void {
    this.#child.stdin?.write("keep\n");
  }

  /** Delivers what was kept, and ends. */
  release(): void {
    this.#child.stdin?.end("release\n");
  }

  /** Forgets what was kept, and ends. Nothing happens after a release. */
  dispose(): void {
    this.#child.stdin?.end();
  }
}
