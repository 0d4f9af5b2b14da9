/** Plays containerd's event service for one row and keeps what comes, in order. */
import { containerd, google } from "#protos/shim";
import { Server, unary } from "#ttrpc";
import { PATIENCE } from "../lib/patience.js";
import { until } from "../lib/until.js";
import type { Record } from "./record.js";

const { events } = containerd;
const { ForwardRequest } = containerd.services.events.ttrpc.v1;

const TYPES: Readonly<{ [topic: string]: { name: string; decode(bytes: Uint8Array): object } }> = {
  "/tasks/create": { name: "TaskCreate", decode: (bytes) => events.TaskCreate.decode(bytes) },
  "/tasks/start": { name: "TaskStart", decode: (bytes) => events.TaskStart.decode(bytes) },
  "/tasks/exit": { name: "TaskExit", decode: (bytes) => events.TaskExit.decode(bytes) },
  "/tasks/delete": { name: "TaskDelete", decode: (bytes) => events.TaskDelete.decode(bytes) },
  "/tasks/exec-added": { name: "TaskExecAdded", decode: (bytes) => events.TaskExecAdded.decode(bytes) },
  "/tasks/exec-started": { name: "TaskExecStarted", decode: (bytes) => events.TaskExecStarted.decode(bytes) },
  "/tasks/oom": { name: "TaskOOM", decode: (bytes) => events.TaskOOM.decode(bytes) },
  "/tasks/paused": { name: "TaskPaused", decode: (bytes) => events.TaskPaused.decode(bytes) },
  "/tasks/resumed": { name: "TaskResumed", decode: (bytes) => events.TaskResumed.decode(bytes) },
  "/tasks/checkpointed": {
    name: "TaskCheckpointed",
    decode: (bytes) => events.TaskCheckpointed.decode(bytes),
  },
};

export interface SeenEvent {
  readonly topic: string;
  readonly message: object;
  /** What is wrong with the envelope; empty when nothing is. */
  readonly fault: string;
}

export class EventService {
  readonly seen: SeenEvent[] = [];
  readonly #envelopes = new Set<string>();
  readonly #server = new Server();

  async listen(path: string, namespace: string): Promise<void> {
    this.#server.addService("containerd.services.events.ttrpc.v1.Events", {
      Forward: unary(ForwardRequest, google.protobuf.Empty, ({ envelope }) => {
        this.#take(envelope ?? {}, namespace);
        return {};
      }),
    });
    await this.#server.listen({ path });
  }

  #take(envelope: containerd.types.Envelope.$Properties, namespace: string): void {
    const { event, namespace: told, timestamp } = envelope;
    const topic = envelope.topic ?? "";
    const type = TYPES[topic];
    const faults = [
      ...(type === undefined ? ["unknown topic"] : []),
      ...(event?.type_url === `containerd.events.${type?.name}` ? [] : [`type ${event?.type_url}`]),
      ...(told === namespace ? [] : [`namespace ${told}`]),
      ...(Number(timestamp?.seconds ?? 0) > 0 ? [] : ["no timestamp"]),
    ];
    if (PATIENCE > 1 && this.#isRepeated(envelope)) return;
    const message = type?.decode(event?.value ?? new Uint8Array()) ?? {};
    this.seen.push({ topic, message, fault: faults.join(", ") });
  }

  /** On a slow machine our answer may come after the shim's 5 s, and the shim then sends the event again. */
  #isRepeated(envelope: containerd.types.Envelope.$Properties): boolean {
    const key = Buffer.from(containerd.types.Envelope.encode(envelope).finish()).toString("hex");
    const repeated = this.#envelopes.has(key);
    this.#envelopes.add(key);
    return repeated;
  }

  count(topic: string): number {
    return this.seen.filter((event) => event.topic === topic).length;
  }

  /** True when there are that many within the time. */
  async reached(topic: string, count: number, ms = 5000): Promise<boolean> {
    return until(() => this.count(topic) >= count, ms).then(
      () => true,
      () => false,
    );
  }

  /** Resolves when the end of the process has been told, or that takes long. */
  async ended(id: string): Promise<void> {
    const isEnd = ({ topic, message }: SeenEvent) =>
      topic === "/tasks/exit" && (message as containerd.events.TaskExit.$Properties).id === id;
    await until(() => this.seen.some(isEnd), 2000).catch(() => {});
  }

  /** @param without topics that are passed over */
  describe(record: Record, without: readonly string[] = []): string[] {
    const told = this.seen.filter(({ topic }) => !without.includes(topic));
    return told.map(({ topic, message, fault }) => {
      const what = `${topic.replace("/tasks/", "")} ${record.describe(message)}`;
      return fault === "" ? what : `${what} (${fault})`;
    });
  }

  async close(): Promise<void> {
    await this.#server.close();
  }
}
