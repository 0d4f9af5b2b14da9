/**
 * The Checkpoint call that containerd makes to a shim. Not through containerd, which before 2.0 fails every second one of a container by
 * itself: it takes the same specification into its store only once.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { containerd, google } from "#protos/agent";
import { Client } from "#ttrpc";
import type { Lab } from "../lab/lab.js";
import { TASK_METHODS } from "./task-api.js";

const { CheckpointOptions } = containerd.runc.v1;

export interface CheckpointCall {
  readonly exit?: boolean;
  /** As containerd 2 hands on --image-path; default: a folder of containerd's own. */
  readonly path?: string;
  /** As containerd 1 does for a runtime of our name: in the options only. */
  readonly imagePath?: string;
}

/** @throws TtrpcError with the shim's words */
export async function callCheckpoint(
  lab: Lab,
  host: string,
  id: string,
  { path = "/tmp/ctrd-checkpoint", exit = false, imagePath = "" }: CheckpointCall,
): Promise<void> {
  const root = await lab.root(host);
  const bundle = `run/containerd/io.containerd.runtime.v2.task/default/${id}`;
  const address = (await readFile(join(root, bundle, "address"), "utf8")).trim();
  const client = await Client.connect(join(root, address.replace("unix://", "")));
  const value = CheckpointOptions.encode({ openTcp: true, exit, imagePath }).finish();
  const options = google.protobuf.Any.create({ type_url: "containerd.runc.v1.CheckpointOptions", value });
  try {
    const tasks = client.service("containerd.task.v2.Task", TASK_METHODS);
    await tasks.Checkpoint({ id, path, options }, { timeoutMs: 60_000 });
  } finally {
    client.close();
  }
}
