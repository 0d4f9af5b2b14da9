/** The images of a protected container as the standby that another host keeps: each is sent when it is there, with those that it needs. */

import { standbyName } from "../cache/name.js";
import { Outgoing } from "../cache/outgoing.js";
import type { ShipmentOptions } from "../cache/send.js";
import { Shipment } from "../cache/send.js";
import { cargoOf } from "../cache/take.js";
import { resolveHost } from "../config.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { Peer } from "../peer.js";
import { LayerChanges } from "../rootfs/changes.js";
import { describeContainer, findSubject, writableLayer } from "../source/describe.js";
import { chainOf } from "./chain.js";
import type { ImageFolder } from "./images.js";
import type { ProtectedImage } from "./record.js";

const ASK_MS = 5_000;

/** What the host has: our name of an image, its own, and the files that came with it. */
interface Sent {
  readonly name: string;
  readonly there: string;
  readonly changes: LayerChanges;
}

export class Standby {
  #sent: Sent | undefined;

  constructor(
    private readonly context: Context,
    private readonly whose: { readonly namespace: string; readonly container: string },
    private readonly host: string,
    private readonly folder: ImageFolder,
    private readonly signal: AbortSignal,
  ) {}

  /** Whether the next image has to be complete by itself: nothing is known of what is there, and the host can be asked. */
  async needsComplete(): Promise<boolean> {
    if (this.#sent) return false;
    const peer = new Peer(this.context, resolveHost(this.context.config, this.host));
    try {
      await peer.ready(ASK_MS);
      return true;
    } catch {
      return false;
    } finally {
      peer.close();
    }
  }

  /**
   * The newest one, and those before it that the host has missed.
   * @throws AgentError; the host has what it had before
   */
  async send(images: readonly ProtectedImage[]): Promise<void> {
    const chain = chainOf(images, images.at(-1)).reverse();
    const last = chain.findIndex(({ name }) => name === this.#sent?.name);
    if (!this.#sent && chain.length > 1) {
      // Older ones must not take the place of what may be there.
      throw new AgentError("PARENT_GONE", `what ${this.host} has is not known`, {
        remedy: "the next is complete",
      });
    }
    for (const image of chain.slice(last + 1)) {
      try {
        this.#sent = await this.#ship(image);
      } catch (error) {
        const known = AgentError.from(error);
        if (known.code === "PARENT_GONE") this.#sent = undefined;
        throw known;
      }
    }
  }

  async #ship(image: ProtectedImage): Promise<Sent> {
    const { context, whose, host, signal } = this;
    const { namespace, container } = whose;
    const subject = await findSubject(context, namespace, container, "paused");
    const manifest = await describeContainer(context, subject);
    const before = image.parent === "" ? undefined : this.#sent;
    const changes = before?.changes ?? new LayerChanges(await writableLayer(context, subject));
    const name = standbyName(namespace, container);
    const parent = before?.there ?? "";
    const options: ShipmentOptions = { host, name, subject, manifest, parent, signal };
    const shipment = await Shipment.open(context, options);
    const outgoing = await Outgoing.create(context);
    try {
      const cargo = await cargoOf(subject, changes, this.folder.of(image.name));
      const there = await shipment.send({ ...cargo, at: image.at, log: outgoing.log });
      changes.accept();
      return { name: image.name, there, changes };
    } finally {
      shipment.close();
      await outgoing.remove();
    }
  }
}
