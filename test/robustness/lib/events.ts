/** What containerd tells of tasks. */
import { containerd } from "#protos/shim";
import { serverStream } from "../../../runtime/agent/grpc/method.js";
import { type Host, NAMESPACE } from "./host.js";
import { rpc } from "./methods.js";
import { sleep, until } from "./wait.js";

export interface TaskEvent {
  readonly topic: string;
  readonly container: string;
  /** Of exits: the exec's id, or the container's for its init. */
  readonly process: string;
  readonly status: number;
}

export class Events {
  readonly seen: TaskEvent[] = [];
  readonly #cancel: () => void;

  private constructor(host: Host) {
    const filters = [`namespace==${NAMESPACE}`];
    const stream = serverStream(host.containerd.client, rpc.subscribe, { filters }, {});
    stream.on("data", ({ topic, event }: containerd.types.Envelope) => {
      const value = event?.value ?? new Uint8Array();
      const { containerId, id, exitStatus } = containerd.events.TaskExit.decode(value);
      this.seen.push({ topic, container: containerId, process: id, status: exitStatus });
    });
    stream.on("error", () => {});
    this.#cancel = () => stream.cancel();
  }

  static async of(host: Host): Promise<Events> {
    const events = new Events(host);
    // Nothing tells that a subscription has begun.
    await sleep(300);
    return events;
  }

  find(topic: string, container: string): TaskEvent[] {
    return this.seen.filter((event) => event.topic === topic && event.container === container);
  }

  async has(topic: string, container: string, ms = 15_000): Promise<TaskEvent> {
    await until(`${topic} of ${container}`, () => this.find(topic, container).length > 0, ms);
    return this.find(topic, container)[0] as TaskEvent;
  }

  close(): void {
    this.#cancel();
  }
}
