/**
 * A peer brings a checkpoint for this host's cache: the end of `Peer.Keep` that keeps it.
 *
 *   open ─▶ (parts of the container's image) ─▶ image ─▶ files ─▶ archive ─▶ end ─▶ stored
 *
 * It is there with its `entry.json`, after everything has been checked and is on the disk; before, any failure takes away all of it.
 */
import { mkdir, open, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ServerDuplexStream } from "@grpc/grpc-js";
import type { pclive } from "#protos/agent";
import { unpackImage } from "../../checkpoint/archive.js";
import { syncFolder } from "../../durable.js";
import { within } from "../../migration/deadline.js";
import { ensureName } from "../config.js";
import { createLease, deleteLease } from "../containerd/leases.js";
import { getTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import type { Arrivals } from "../destination/arrivals.js";
import { checkVersion } from "../destination/session.js";
import { AgentError } from "../errors.js";
import { writeMessage } from "../grpc/method.js";
import { installImage, missingBlobs } from "../image/destination.js";
import { type Manifest, migrationId, parseManifest } from "../manifest.js";
import { requireCaller } from "../peer.js";
import { libDir } from "../system.js";
import { type Entry, newestOf, type Part, placesOf, writeEntry } from "./entry.js";
import { Incoming, type Next, STALL_MS } from "./incoming.js";
import { cacheName, isStandby, standbyName } from "./name.js";

export type KeepCall = ServerDuplexStream<pclive.peer.v1.ToCache, pclive.peer.v1.IFromCache>;

const OPEN_MS = 15_000;
/** The container's image comes, and its checkpoint is taken; a lost connection is noticed by itself. */
const TAKE_MS = 24 * 3600 * 1000;
const DIGITS = 6;
/** Of a tar archive beside the files in it. */
const ARCHIVE_EXTRA = 16 * 1024 * 1024;

interface Opened {
  readonly id: string;
  readonly name: string;
  readonly source: string;
  readonly manifest: Manifest;
  readonly manifestJson: string;
  readonly parent: string;
}

/** Never rejects: what fails is told to the peer. */
export async function receiveImage(context: Context, arrivals: Arrivals, call: KeepCall): Promise<void> {
  // Whoever waits for the next message hears of it.
  call.on("error", () => undefined);
  const messages = call[Symbol.asyncIterator]() as AsyncIterator<pclive.peer.v1.ToCache>;
  const next: Next = async (ms) => {
    const { done, value } = await within(ms, "waiting for the peer", messages.next());
    if (done || call.cancelled) throw new AgentError("PEER_UNREACHABLE", "the peer has hung up");
    return value;
  };
  try {
    await new Receiver(context, arrivals, call, next).run();
  } catch (error) {
    const { code, message, remedy } = AgentError.from(error);
    context.log.warn({ code, error: message }, "an image was not kept");
    if (!call.destroyed && !call.cancelled) call.write({ refused: { code, message, remedy } });
  }
}

class Receiver {
  constructor(
    private readonly context: Context,
    private readonly arrivals: Arrivals,
    private readonly call: KeepCall,
    private readonly next: Next,
  ) {}

  async run(): Promise<void> {
    const opened = await this.#open();
    const { cache } = this.context;
    const release = cache.claim(opened.name, "replaced");
    let giveBack = () => {};
    try {
      const before = await this.#fitting(opened);
      giveBack = await cache.reserve(opened.id, 0);
      await this.#takeOciImage(opened);
      const { image } = await this.next(TAKE_MS);
      if (!image) throw new AgentError("PROTOCOL", "the peer sends something else than an image");
      const bytes = image.bytes ?? 0;
      giveBack = await cache.reserve(opened.id, bytes + (image.filesBytes ?? 0));
      const part = await this.#takePart(opened, before, image.at ?? 0, bytes);
      await this.#publish(opened, before, part);
      await writeMessage(this.call, { stored: { image: part.name, bytes: part.bytes } }, STALL_MS);
    } finally {
      giveBack();
      release();
    }
  }

  async #open(): Promise<Opened> {
    const { open: said } = await this.next(OPEN_MS);
    if (!said) throw new AgentError("PROTOCOL", "the peer does not begin with what it brings");
    checkVersion(said.version ?? {});
    const source = ensureName(said.version?.host ?? "");
    requireCaller(this.call, source);
    const id = migrationId.safeParse(said.id);
    const name = cacheName.safeParse(said.name);
    if (!id.success || !name.success) throw new AgentError("PROTOCOL", "the peer sends no proper name");
    const manifestJson = said.manifestJson ?? "";
    const manifest = parseManifest(manifestJson);
    return { id: id.data, name: name.data, source, manifest, manifestJson, parent: said.parent ?? "" };
  }

  /** @returns what is there under the name @throws AgentError REFUSED, PROTOCOL */
  async #fitting({ name, manifest, parent }: Opened): Promise<Entry | undefined> {
    const { namespace, container } = manifest;
    const before = await this.context.cache.find(name);
    if (before && (before.namespace !== namespace || before.container !== container)) {
      throw new AgentError("REFUSED", `${name} is an image of ${before.namespace}/${before.container}`, {
        remedy: "use another name, or remove that one there",
      });
    }
    if (isStandby(name)) await this.#mustBeAway(name, manifest);
    if (parent === "" || (before && newestOf(before).name === parent)) return before;
    throw new AgentError("PARENT_GONE", "the image that this one needs is not here", {
      remedy: "send a complete one",
    });
  }

  /** What runs here has been started from a standby, or was moved here: nobody else's state may take its place. */
  async #mustBeAway(name: string, { namespace, container }: Manifest): Promise<void> {
    if (name !== standbyName(namespace, container)) {
      throw new AgentError("USAGE", `${name} is kept for a standby of that container`, {
        remedy: "use another name",
      });
    }
    const task = await getTask(this.context.containerd.namespace(namespace), container);
    if (task === undefined || task.status === "stopped") return;
    throw new AgentError("REFUSED", `${container} is ${task.status} here: this host is no standby of it`, {
      remedy: "end one of the two",
    });
  }

  /** What the container was made of, so that it can be made here without the peer. */
  async #takeOciImage({ id, manifest }: Opened): Promise<void> {
    const { containerd } = this.context;
    const { namespace, image, snapshotter } = manifest;
    await containerd.ensureNamespace(namespace);
    const lease = `pclive-${id}`;
    const ns = containerd.namespace(namespace, lease);
    await createLease(containerd.namespace(namespace), lease);
    try {
      const missing = await missingBlobs(ns, image);
      this.arrivals.expectBlobs(id, ns, missing);
      const digests = missing.map((blob) => blob.digest);
      await writeMessage(this.call, { needBlobs: { digests } }, STALL_MS);
      const { imageSent } = await this.next(TAKE_MS);
      if (!imageSent) throw new AgentError("PROTOCOL", "the peer does not say that all parts are there");
      await installImage(ns, snapshotter, image, id);
    } finally {
      this.arrivals.expectBlobs(id, ns, []);
      await deleteLease(containerd.namespace(namespace), lease).catch(() => undefined);
    }
  }

  async #takePart(opened: Opened, before: Entry | undefined, at: number, bytes: number): Promise<Part> {
    const { cache } = this.context;
    const { parent, name } = opened;
    const folder = await cache.prepare(name);
    const part = nextName(before);
    const places = placesOf(folder, part);
    try {
      await mkdir(places.image, { mode: 0o700 });
      const logFile = `${places.image}.log`;
      const data = new Incoming(this.next, bytes + ARCHIVE_EXTRA, async (files) => {
        await cache.reserve(opened.id, bytes + files);
      });
      const files = await data.files(places.files, this.context.config.limits.rootfs);
      const { bytes: unpacked } = await unpackImage({
        libDir: libDir(this.context.config),
        stream: (engine) => data.archive(engine),
        logFile,
        to: places.image,
        unseal: async () => {
          throw new AgentError("PROTOCOL", "the image is encrypted");
        },
      });
      await rm(logFile, { force: true });
      await syncAll(places.image);
      if (parent !== "") await symlink(`../${parent}`, join(places.image, "parent"));
      await writeFile(places.manifest, opened.manifestJson, { mode: 0o600, flush: true });
      await syncFolder(folder);
      return { name: part, parent, at, bytes: unpacked + files };
    } catch (error) {
      await this.#discard(opened);
      throw error;
    }
  }

  async #publish(opened: Opened, before: Entry | undefined, part: Part): Promise<void> {
    const { name, source, manifest } = opened;
    const { cache } = this.context;
    const { namespace, container } = manifest;
    const parts = part.parent === "" ? [part] : [...(before?.parts ?? []), part];
    const entry: Entry = { version: 1, name, namespace, container, source, parts };
    try {
      await writeEntry(cache.folderOf(name), entry);
    } catch (error) {
      await this.#discard(opened);
      throw error;
    }
    await cache.tidy(entry);
    this.context.log.info({ name, part: part.name, bytes: part.bytes, source }, "an image is kept here");
  }

  /** Back to what is on the disk as a whole. */
  async #discard({ name }: Opened): Promise<void> {
    const { cache } = this.context;
    const there = await cache.find(name);
    if (there) await cache.tidy(there).catch(() => undefined);
    else await rm(cache.folderOf(name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function nextName(before: Entry | undefined): string {
  return String(Number(before ? newestOf(before).name : 0) + 1).padStart(DIGITS, "0");
}

/** The engine leaves that to us: what has a name in the cache survives a loss of power. */
async function syncAll(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = await open(join(folder, name), "r");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  await syncFolder(folder);
}
