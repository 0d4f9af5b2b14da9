/** Delivers events to containerd by ttrpc, on one connection. */
import { containerd, google } from "#protos/shim";
import { Client } from "#ttrpc";
import { messageOf } from "../errors.js";
import { timestampOf } from "../wire.js";
import type { TaskEvent } from "./events.js";
import { type Deliver, NobodyThere } from "./publisher.js";

const SERVICE = "containerd.services.events.ttrpc.v1.Events";
const METHODS = {
  Forward: { request: containerd.services.events.ttrpc.v1.ForwardRequest, response: google.protobuf.Empty },
};
const CALL_MS = 5000;

export interface Delivery {
  readonly deliver: Deliver;
  /** Connects ahead of the first event; what goes wrong shows with that. */
  prepare(): void;
}

/** @param path of containerd's ttrpc socket */
export function deliveryTo(path: string, namespace: string): Delivery {
  let connection: Promise<Client> | undefined;
  const connected = async (): Promise<Client> => {
    const client = await connection;
    if (client && !client.closed.aborted) return client;
    connection = connect(path);
    return connection;
  };
  const deliver = async (event: TaskEvent): Promise<void> => {
    const envelope = {
      timestamp: timestampOf(event.at),
      namespace,
      topic: event.topic,
      event: event.payload,
    };
    let client: Client | undefined;
    try {
      client = await connected();
      await client.service(SERVICE, METHODS).Forward({ envelope }, { timeoutMs: CALL_MS });
    } catch (error) {
      client?.close();
      connection = undefined;
      throw error;
    }
  };
  const prepare = (): void => {
    connected().catch(() => {
      connection = undefined;
    });
  };
  return { deliver, prepare };
}

async function connect(path: string): Promise<Client> {
  try {
    return await Client.connect(path, { connectTimeoutMs: CALL_MS });
  } catch (cause) {
    throw new NobodyThere(`nobody takes events at ${path}: ${messageOf(cause)}`, { cause });
  }
}
