/** One checkpoint on its way into the cache of another host: the end of `Peer.Keep` that has the container. */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { ClientDuplexStream } from "@grpc/grpc-js";
import type { pclive } from "#protos/agent";
import { packImage } from "../../checkpoint/archive.js";
import { resolveHost } from "../config.js";
import type { Context } from "../context.js";
import { AgentError, fromPeerError } from "../errors.js";
import { duplex, writeMessage } from "../grpc/method.js";
import { peerRpc } from "../grpc/services.js";
import { sendBlobs } from "../image/source.js";
import { Inbox } from "../inbox.js";
import { formatManifest, type Manifest } from "../manifest.js";
import { Peer } from "../peer.js";
import type { Subject } from "../source/describe.js";
import { arch, kernel, libDir, PROTOCOL, VERSION } from "../system.js";

type Out = pclive.peer.v1.IToCache;
type In = pclive.peer.v1.FromCache;

const CONNECT_MS = 10_000;
const OPEN_MS = 60_000;
const STALL_MS = 60_000;
/** All is there: what is left is to bring it onto a slow disk. */
const STORE_MS = 600_000;
/** Bytes in one message. */
const PIECE = 256 * 1024;

export interface ShipmentOptions {
  readonly host: string;
  readonly name: string;
  readonly subject: Subject;
  readonly manifest: Manifest;
  /** The image there that this one needs, as `send` has answered; empty: it is complete. */
  readonly parent: string;
  readonly signal: AbortSignal;
}

export interface Cargo {
  /** Folder of the image. */
  readonly image: string;
  readonly bytes: number;
  /** Unix time, ms, at which the checkpoint was begun. */
  readonly at: number;
  readonly files: AsyncIterable<Uint8Array>;
  readonly filesBytes: number;
  /** The engine's stderr. */
  readonly log: string;
  readonly onProgress?: (bytes: number) => void;
}

export class Shipment {
  readonly #inbox = new Inbox<In>();
  readonly #hangUp = () => this.#fail(new AgentError("CANCELLED", "the checkpoint was cancelled"));

  private constructor(
    private readonly context: Context,
    private readonly options: ShipmentOptions,
    private readonly peer: Peer,
    private readonly stream: ClientDuplexStream<Out, In>,
  ) {
    stream.on("data", (message: In) => this.#receive(message));
    stream.on("error", (error) => this.#inbox.fail(fromPeerError(error, peer.name)));
    stream.on("end", () => this.#inbox.fail(new AgentError("PEER_FAILED", `${peer.name} has hung up`)));
    options.signal.addEventListener("abort", this.#hangUp, { once: true });
  }

  /**
   * The peer takes the checkpoint that will be made, and has what the container is made of.
   * @throws AgentError PEER_UNREACHABLE, or the peer's refusal
   */
  static async open(context: Context, options: ShipmentOptions): Promise<Shipment> {
    const peer = new Peer(context, resolveHost(context.config, options.host));
    try {
      await peer.ready(CONNECT_MS);
    } catch (error) {
      peer.close();
      throw error;
    }
    const shipment = new Shipment(context, options, peer, duplex(peer.client, peerRpc.keep));
    try {
      await shipment.#open();
      return shipment;
    } catch (error) {
      shipment.close();
      throw error;
    }
  }

  get host(): string {
    return this.peer.name;
  }

  /** @returns the image's name there, for one that needs it. It is there and on the disk. */
  async send(cargo: Cargo): Promise<string> {
    const { image: from, bytes, at, files, filesBytes, log: logFile, onProgress } = cargo;
    await this.#write({ image: { bytes, filesBytes, at } });
    for await (const piece of files) await this.#write({ data: { files: piece } });
    const { parent } = this.options;
    const stream = (engine: Duplex) => this.#carry(engine);
    const options = { libDir: libDir(this.context.config), stream, logFile, from, compress: false };
    try {
      await packImage({ ...options, incremental: parent !== "", ...(onProgress && { onProgress }) });
    } catch (error) {
      // Of a peer that has hung up the engine knows nothing.
      throw this.#inbox.failed ?? error;
    }
    await this.#write({ data: { end: true } });
    const { stored } = await this.#inbox.next("stored", STORE_MS);
    return stored?.image ?? "";
  }

  /** What was not stored by then is not kept there. Idempotent. */
  close(): void {
    this.options.signal.removeEventListener("abort", this.#hangUp);
    this.stream.end();
    this.stream.cancel();
    this.peer.close();
  }

  async #open(): Promise<void> {
    const { name, manifest, parent, subject, signal } = this.options;
    const { host } = this.context.config;
    const version = { protocol: PROTOCOL, pclive: VERSION, arch: arch(), kernel: kernel(), host };
    const id = randomBytes(16).toString("hex");
    await this.#write({ open: { version, id, name, manifestJson: formatManifest(manifest), parent } });
    const { needBlobs } = await this.#inbox.next("needBlobs", OPEN_MS, signal);
    const wanted = new Set(needBlobs?.digests ?? []);
    const blobs = manifest.image.blobs.filter((blob) => wanted.has(blob.digest));
    await sendBlobs(this.peer, subject.ns, id, blobs, signal);
    await this.#write({ imageSent: {} });
  }

  async #carry(engine: Duplex): Promise<void> {
    for await (const data of engine as AsyncIterable<Buffer>)
      for (let at = 0; at < data.length; at += PIECE)
        await this.#write({ data: { archive: data.subarray(at, at + PIECE) } });
  }

  async #write(message: Out): Promise<void> {
    if (this.#inbox.failed) throw this.#inbox.failed;
    try {
      await writeMessage(this.stream, message, STALL_MS);
    } catch (error) {
      throw this.#inbox.failed ?? AgentError.from(error, "PEER_UNREACHABLE");
    }
  }

  #receive(message: In): void {
    const { refused } = message;
    if (refused) {
      const text = `${this.peer.name}: ${refused.message ?? ""}`;
      const remedy = refused.remedy ?? "";
      this.#inbox.fail(new AgentError(refused.code || "REFUSED", text, { remedy }));
    } else this.#inbox.push(message.message ?? "", message);
  }

  #fail(error: AgentError): void {
    this.#inbox.fail(error);
    this.stream.cancel();
  }
}
