/** All containers that are arriving here, and those that wait for their source's decision. */

import type { Namespace } from "../containerd/client.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { pause } from "../grpc/method.js";
import { peerRpc } from "../grpc/services.js";
import type { Descriptor } from "../image/oci.js";
import { Peer } from "../peer.js";
import type { Arrival } from "./arrival.js";

const ASK_TIMEOUT_MS = 15_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5000;

export class Arrivals {
  private readonly all = new Map<string, Arrival>();
  private readonly blobs = new Map<string, { ns: Namespace; wanted: Map<string, Descriptor> }>();
  private readonly pending = new Set<string>();

  constructor(private readonly context: Context) {}

  add(arrival: Arrival): void {
    this.all.set(arrival.entry.migration, arrival);
  }

  forget(migration: string): void {
    this.all.delete(migration);
    this.blobs.delete(migration);
  }

  get(migration: string): Arrival | undefined {
    return this.all.get(migration);
  }

  /** Which blobs a migration may bring; an empty list ends that. */
  expectBlobs(migration: string, ns: Namespace, blobs: readonly Descriptor[]): void {
    if (blobs.length === 0) this.blobs.delete(migration);
    else this.blobs.set(migration, { ns, wanted: new Map(blobs.map((blob) => [blob.digest, blob])) });
  }

  expectedBlob(migration: string, digest: string): { ns: Namespace; blob: Descriptor } | undefined {
    const expected = this.blobs.get(migration);
    const blob = expected?.wanted.get(digest);
    return expected === undefined || blob === undefined ? undefined : { ns: expected.ns, blob };
  }

  /** Whether its source's decision is still to come. */
  isPending(migration: string): boolean {
    return this.pending.has(migration);
  }

  /** Asks the source, however long it takes, what it has decided. The container stays held meanwhile. */
  settle(arrival: Arrival): void {
    const { migration } = arrival.entry;
    if (this.pending.has(migration)) return;
    this.pending.add(migration);
    this.ask(arrival)
      .catch((error: unknown) =>
        this.context.log.error({ migration, error: AgentError.from(error).message }, "settling failed"),
      )
      .finally(() => {
        this.pending.delete(migration);
        this.context.registry.remove(migration);
        this.forget(migration);
      });
  }

  private async ask(arrival: Arrival): Promise<void> {
    const { migration, peer: address } = arrival.entry;
    const log = this.context.log.child({ migration });
    const peer = new Peer(this.context, address);
    try {
      for (let wait = FIRST_PAUSE_MS; ; wait = Math.min(wait * 2, LONGEST_PAUSE_MS)) {
        const verdict = await arrival.verdict();
        // The source may have told us meanwhile, by a Settle of its own.
        if (verdict === "running") return;
        if (verdict === "refused") return await arrival.refuse("the container cannot run here any more");
        const decision = await this.askOnce(peer, migration).catch((error: unknown) => {
          log.warn(
            { error: AgentError.from(error).message },
            "the source does not answer; the container stays held here until it does",
          );
          return "moving";
        });
        if (decision === "committed") {
          const released = await arrival.release().then(
            () => true,
            () => false,
          );
          if (released) return;
        } else if (decision === "rolled-back" || decision === "unknown") {
          return await arrival.refuse(`the source says: ${decision}`);
        }
        await pause(wait);
      }
    } finally {
      peer.close();
    }
  }

  private async askOnce(peer: Peer, migration: string): Promise<string> {
    const { state } = await peer.call(
      peerRpc.settle,
      { migration, decision: "ask" },
      { timeoutMs: ASK_TIMEOUT_MS },
    );
    return state;
  }
}
