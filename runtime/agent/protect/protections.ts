/** All protected containers of this host. */
import { access, constants, mkdir } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import type { pclive } from "#protos/agent";
import { TRACKERS } from "../../migration/index.js";
import { peerPlace } from "../cache/name.js";
import { mustHaveState } from "../checkpoint/subject.js";
import { resolveHost } from "../config.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { checkedRequest } from "../request.js";
import { describeProtection, Protection } from "./protection.js";
import { type ProtectRecord, ProtectRecords } from "./record.js";

type Request = pclive.agent.v1.ProtectRequest;
type Which = { readonly container: string; readonly namespace: string };

const LEAST_EVERY_MS = 1000;
/** A timer's bound is a little more. */
const MOST_EVERY_MS = 14 * 24 * 3600 * 1000;
const MOST_KEPT = 1000;

export class Protections {
  readonly #records: ProtectRecords;
  readonly #all = new Map<string, Protection>();

  constructor(private readonly context: Context) {
    this.#records = new ProtectRecords(context.config.stateDir);
  }

  /** Goes on with those that were there before the agent's restart. */
  async resume(): Promise<void> {
    for (const record of await this.#records.list()) {
      const protection = new Protection(this.context, this.#records, record);
      this.#all.set(keyOf(record), protection);
      if (!record.ended) protection.start();
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#all.values()].map((one) => one.stop()));
  }

  list(): pclive.agent.v1.IProtectionList {
    return { protections: [...this.#all.values()].map((one) => describeProtection(one.state)) };
  }

  /** @throws AgentError USAGE, CONTAINER_NOT_FOUND, REFUSED */
  async protect(request: Request): Promise<pclive.agent.v1.IProtection> {
    const record = await this.#recordOf(request);
    const before = this.#all.get(keyOf(record));
    if (before && !before.state.ended) {
      throw new AgentError("REFUSED", `${record.container} is protected already`, {
        remedy: "pclive unprotect it first, to change how",
      });
    }
    const other = [...this.#all.values()].find((one) => one !== before && one.state.to === record.to);
    if (other) {
      throw new AgentError("REFUSED", `${record.to} has the images of ${other.state.container}`, {
        remedy: "name another folder with --to",
      });
    }
    // Images of its former life in the same folder are counted, and go in their turn.
    const images = before?.state.to === record.to ? before.state.images : [];
    await mustBeWritable(record.to);
    const protection = new Protection(this.context, this.#records, { ...record, images });
    await this.#records.write(protection.state);
    this.#all.set(keyOf(record), protection);
    protection.start();
    return describeProtection(protection.state);
  }

  /** Its images stay. @throws AgentError CONTAINER_NOT_FOUND */
  async unprotect(which: Which): Promise<pclive.agent.v1.IProtection> {
    const found = this.#all.get(keyOf({ ...which, namespace: which.namespace || "default" }));
    if (!found) {
      throw new AgentError("CONTAINER_NOT_FOUND", `${which.container.slice(0, 76)} is not protected`, {
        remedy: "list those that are with pclive protect --list",
      });
    }
    await found.stop();
    await this.#records.remove(found.state);
    this.#all.delete(keyOf(found.state));
    return describeProtection(found.state);
  }

  async #recordOf(request: Request): Promise<ProtectRecord> {
    const { container, namespace = "default", ...asked } = checkedRequest(wanted, request, "protect");
    const ns = this.context.containerd.namespace(namespace);
    await mustHaveState(ns, container);
    const { to, everyMs, keep, ...options } = asked;
    const own = join(this.context.config.stateDir, "images", namespace, container);
    const how = { everyMs, keep, asked: options };
    const record = { version: 1 as const, namespace, container, ...how, images: [] };
    const place = peerPlace(to);
    if (!place) return { ...record, to: to || own };
    if (place.name !== "")
      throw new AgentError("USAGE", "a protected container's images have a name of their own at the peer", {
        remedy: `write --to peer:${place.host}`,
      });
    // Told now rather than by the first checkpoint.
    resolveHost(this.context.config, place.host);
    return { ...record, to: own, peer: place.host };
  }
}

/** Told now rather than by the first checkpoint. */
async function mustBeWritable(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new AgentError("USAGE", `${folder} cannot be written to: ${(error as Error).message}`, {
      remedy: "name another folder; the agent may not write to /home and /root when systemd has started it",
      cause: error,
    });
  }
}

const wanted = z.object({
  container: z.string(),
  namespace: z.string().transform((name) => name || "default"),
  to: z
    .string()
    .max(4096)
    .refine(
      (to) => to === "" || isAbsolute(to) || to.startsWith("peer:"),
      "must be an absolute path, or peer:HOST",
    ),
  everyMs: z
    .number()
    .min(LEAST_EVERY_MS, "at least every second")
    .max(MOST_EVERY_MS, "at least every 14 days"),
  keep: z.int().min(1, "at least 1").max(MOST_KEPT, `at most ${MOST_KEPT}`),
  direct: z.boolean(),
  tracker: z.union([z.enum(TRACKERS), z.literal("").transform(() => "auto" as const)]),
  tcpEstablished: z.boolean(),
  externalUnixSockets: z.boolean(),
  shellJob: z.boolean(),
  fileLocks: z.boolean(),
});

function keyOf({ namespace, container }: Which): string {
  return `${namespace}/${container}`;
}
