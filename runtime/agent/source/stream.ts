/** The source's end of the stream between two agents. */
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { pclive } from "#protos/agent";
import { unixMs } from "../../clock.js";
import { AgentError, fromPeerError } from "../errors.js";
import { duplex, writeMessage } from "../grpc/method.js";
import { peerRpc } from "../grpc/services.js";
import { Inbox } from "../inbox.js";
import type { Peer } from "../peer.js";
import { type ClockReading, type ClockRelation, relate } from "./clocks.js";

type Out = pclive.peer.v1.IToDestination;
type In = pclive.peer.v1.ToSource;
type Kind = Exclude<NonNullable<In["message"]>, "refused">;

const STALL_MS = 30_000;
const CLOCK_MS = 10_000;

export class PeerStream {
  private readonly stream: ClientDuplexStream<Out, In>;
  private readonly inbox = new Inbox<In>();
  private readonly readings: ClockReading[] = [];

  constructor(peer: Peer) {
    this.stream = duplex(peer.client, peerRpc.migrate);
    this.stream.on("data", (message: In) => this.receive(message, peer.name));
    this.stream.on("error", (error) => this.inbox.fail(fromPeerError(error, peer.name)));
    this.stream.on("end", () =>
      this.inbox.fail(new AgentError("PEER_FAILED", `the agent of ${peer.name} ended the migration`)),
    );
  }

  async send(message: Out): Promise<void> {
    try {
      await writeMessage(this.stream, message, STALL_MS);
    } catch (error) {
      throw this.inbox.failed ?? AgentError.from(error, "PEER_UNREACHABLE");
    }
  }

  /** The next message of a kind. @throws AgentError TIMEOUT, the peer's refusal, or why the connection ended */
  async expect<K extends Kind>(
    kind: K,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<NonNullable<In[K]>> {
    const message = await this.inbox.next(kind, timeoutMs, signal);
    return (message as unknown as Record<K, NonNullable<In[K]>>)[kind];
  }

  /** Asks the peer for its time, so many times in a row. */
  async readClock(times: number, signal: AbortSignal): Promise<void> {
    for (let i = 0; i < times; i++) {
      const sentAt = unixMs();
      await this.send({ clock: {} });
      const { at } = await this.expect("clock", CLOCK_MS, signal);
      this.readings.push({ sentAt, peerAt: at ?? 0, receivedAt: unixMs() });
    }
  }

  /** Of the two hosts' clocks; undefined before `readClock`. */
  get clocks(): ClockRelation | undefined {
    return relate(this.readings);
  }

  /** The shortest that was seen; 0 before `readClock`. */
  get roundTripMs(): number {
    return this.clocks?.roundTripMs ?? 0;
  }

  /** Says that nothing will come of it, and hangs up. Never fails. */
  abort(reason: string): void {
    if (!this.stream.destroyed && this.inbox.failed === undefined) {
      this.stream.write({ abort: { reason: reason.slice(0, 1000) } });
    }
    this.stream.end();
    // The peer ends the stream when it has cleaned up; if it does not, we hang up.
    setTimeout(() => this.stream.cancel(), 2000).unref();
  }

  end(): void {
    this.stream.end();
    setTimeout(() => this.stream.cancel(), 2000).unref();
  }

  private receive(message: In, name: string): void {
    switch (message.message) {
      case "progress":
        return; // the rounds tell the same
      case "refused": {
        const { code, message: text, remedy } = message.refused ?? {};
        this.inbox.fail(
          new AgentError(code || "REFUSED", `${name}: ${text ?? "refused"}`, { remedy: remedy ?? "" }),
        );
        return;
      }
      case undefined:
        this.inbox.fail(new AgentError("PROTOCOL", `${name} sent a message of an unknown kind`));
        return;
      default:
        this.inbox.push(message.message, message);
    }
  }
}
