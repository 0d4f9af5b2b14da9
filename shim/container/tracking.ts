/** The engine that stays attached to a container between the checkpoints of one client, who asks for them again and again. */
import type { CheckpointSession } from "../../runtime/checkpoint/session.js";

export class Tracking {
  #session: CheckpointSession | undefined;

  /**
   * The session that stays, made unless it is there. Nobody else may be about to use or end it.
   * @param lease aborted: nobody wants it any more
   */
  async keep(lease: AbortSignal, begin: () => Promise<CheckpointSession>): Promise<CheckpointSession> {
    if (this.#session?.usable) return this.#session;
    const session = await begin();
    this.#session = session;
    // A checkpoint that is under way then fails: its caller has gone, too.
    if (lease.aborted) await session.end();
    else lease.addEventListener("abort", () => void session.end(), { once: true });
    return session;
  }

  /** The folder that has to be removed should the shim die. */
  get folder(): string | undefined {
    return this.#session?.usable ? this.#session.scratch.root : undefined;
  }

  /** Before anybody else tracks the container's memory, and when it is gone. Never rejects. */
  async end(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await session?.end();
  }
}
