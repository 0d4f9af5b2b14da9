/** `pclive checkpoint --to peer:HOST/NAME`: the image of a container that runs here, kept by another host. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { pclive } from "#protos/agent";
import type { Context } from "../context.js";
import { LayerChanges } from "../rootfs/changes.js";
import { pack } from "../rootfs/pack.js";
import { describeContainer, findSubject, type Subject, writableLayer } from "../source/describe.js";
import type { PeerPlace } from "./name.js";
import { Outgoing } from "./outgoing.js";
import { type Cargo, Shipment } from "./send.js";

type Request = pclive.agent.v1.CheckpointRequest;
type Report = pclive.agent.v1.ICheckpointReport;

export interface Taking {
  readonly signal: AbortSignal;
  emit(event: pclive.agent.v1.ICheckpointEvent): void;
  /** Has the shim write the image to a folder; the container goes on as it was. */
  take(folder: string): Promise<Report>;
}

/** With `exit` the container stands still from before its checkpoint until that is kept, and ends then. */
export async function checkpointToPeer(
  context: Context,
  request: Request,
  place: PeerPlace,
  taking: Taking,
): Promise<Report> {
  const { container, namespace } = request;
  const subject = await findSubject(context, namespace || "default", container, "paused");
  const manifest = await describeContainer(context, subject);
  const name = place.name || container;
  const { signal } = taking;
  const { host } = place;
  const shipment = await Shipment.open(context, { host, name, subject, manifest, parent: "", signal });
  const outgoing = await Outgoing.create(context);
  try {
    const still = request.exit ? await outgoing.standStill(subject.ns, container) : undefined;
    try {
      const at = Date.now();
      const report = await taking.take(outgoing.image);
      const changes = new LayerChanges(await writableLayer(context, subject));
      const cargo = await cargoOf(subject, changes, outgoing.image);
      const onProgress = (bytes: number) => taking.emit({ progress: { phase: "send", bytes } });
      await shipment.send({ ...cargo, at, log: outgoing.log, onProgress });
      await still?.end();
      return { ...report, path: `peer:${shipment.host}/${name}` };
    } catch (error) {
      await still?.goOn();
      throw error;
    }
  } finally {
    shipment.close();
    await outgoing.remove();
  }
}

/** @param changes of the writable layer that the peer does not have yet */
export async function cargoOf(
  { pids }: Subject,
  changes: LayerChanges,
  image: string,
): Promise<Pick<Cargo, "image" | "bytes" | "files" | "filesBytes">> {
  const difference = await changes.next(pids);
  return {
    image,
    bytes: await bytesIn(image),
    files: difference ? pack(changes.layer.merged, difference) : nothing(),
    filesBytes: difference?.bytes ?? 0,
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function bytesIn(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) sum += (await stat(join(folder, name))).size;
  return sum;
}
