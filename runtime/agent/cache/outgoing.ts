/**
 * Folders for checkpoints on their way to a peer, and for the word that a container stands still until its own is there. Both are of
 * this run of the agent only: the next one takes the folders away, and lets the containers go on.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../../durable.js";
import type { Namespace } from "../containerd/client.js";
import { getTask, killTask, pauseTask, resumeTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { identifier } from "../manifest.js";

const PAUSED = "paused.json";
const note = z.object({ namespace: identifier, container: identifier });

export class Outgoing {
  #still: StandingStill | undefined;

  private constructor(
    private readonly context: Context,
    private readonly root: string,
  ) {}

  static async create(context: Context): Promise<Outgoing> {
    const root = join(outgoingDir(context), randomBytes(8).toString("hex"));
    await mkdir(root, { recursive: true, mode: 0o700 });
    return new Outgoing(context, root);
  }

  /** Of the image; not made yet. */
  get image(): string {
    return join(this.root, "image");
  }

  get log(): string {
    return join(this.root, "engine.log");
  }

  /** Until `goOn` or `end`; a container that was paused before stays so. */
  async standStill(ns: Namespace, container: string): Promise<StandingStill> {
    const before = (await getTask(ns, container))?.status;
    if (before === "paused") return new StandingStill(ns, container, "paused", this.context);
    await writeDurably(join(this.root, PAUSED), JSON.stringify({ namespace: ns.name, container }));
    await pauseTask(ns, container);
    const still = new StandingStill(ns, container, "running", this.context);
    this.#still = still;
    return still;
  }

  /** The word of a container that could not be let go stays for the next run. */
  async remove(): Promise<void> {
    await rm(this.image, { recursive: true, force: true });
    if (!this.#still?.stuck) await rm(this.root, { recursive: true, force: true });
  }
}

export class StandingStill {
  /** It should go on, and does not. */
  stuck = false;

  constructor(
    private readonly ns: Namespace,
    private readonly container: string,
    private readonly before: "running" | "paused",
    private readonly context: Context,
  ) {}

  /** Nothing has come of it. Never rejects. */
  async goOn(): Promise<void> {
    if (this.before === "paused") return;
    await resumeTask(this.ns, this.container).catch((error: unknown) => {
      this.stuck = true;
      const { message } = AgentError.from(error);
      this.context.log.error(
        { container: this.container, error: message },
        "the container could not be resumed",
      );
    });
  }

  /** Its image is where it shall be: not one instruction runs any more. @throws AgentError */
  async end(): Promise<void> {
    await killTask(this.ns, this.container);
  }
}

/** After a start of the agent. */
export async function sweepOutgoing(context: Context): Promise<void> {
  const folder = outgoingDir(context);
  for (const name of await readdir(folder).catch(() => [])) {
    const text = await readFile(join(folder, name, PAUSED), "utf8").catch(() => "");
    if (text !== "") await letGo(context, text);
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

async function letGo(context: Context, text: string): Promise<void> {
  try {
    const { namespace, container } = note.parse(JSON.parse(text));
    const ns = context.containerd.namespace(namespace);
    if ((await getTask(ns, container))?.status !== "paused") return;
    await resumeTask(ns, container);
    context.log.warn({ namespace, container }, "a container that stood still for its checkpoint goes on");
  } catch (error) {
    context.log.error({ error: AgentError.from(error).message }, "a paused container may have to be resumed");
  }
}

function outgoingDir(context: Context): string {
  return join(context.config.stateDir, "outgoing");
}
