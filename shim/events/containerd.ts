/** Delivers events to containerd by ttrpc, on one connection. */
import { containerd, google } from "#protos/shim";
import { Client } from "#ttrpc";
import { messageOf } from "../errors.js";
import { timestampOf } from "../wire.js";
import { type Deliver, NobodyThere } from "./publisher.js";

const SERVICE = "containerd.services.events.ttrpc.v1.Events";
const METHODS = {
  Forward: { request: containerd.services.events.ttrpc.v1.ForwardRequest, response: google.protobuf.Empty },
};
const CALL_MS = 5000;

/** @param path of containerd's ttrpc socket */
export function deliverTo(path: string, namespace: string): Deliver {
  let client: Client | undefined;
  return async (event) => {
    if (!client || client.closed.aborted) client = await connect(path);
    const envelope = {
      timestamp: timestampOf(event.at),
      namespace,
      topic: event.topic,
      event: event.payload,
    };
    try {
      await client.service(SERVICE, METHODS).Forward({ envelope }, { timeoutMs: CALL_MS });
    } catch (error) {
      client.close();
      client = undefined;
      throw error;
    }
  };
}

async function connect(path: string): Promise<Client> {
  try {
    return await Client.connect(path, { connectTimeoutMs: CALL_MS });
  } catch (cause) {
    throw new NobodyThere(`nobody takes events at ${path}: ${messageOf(cause)}`, { cause });
  }
}
