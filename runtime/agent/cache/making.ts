/** What is being made of an image of the cache, noted durably: all of it goes when nothing comes of it, whoever dies when. */
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeDurably } from "../../durable.js";
import { deleteLease } from "../containerd/leases.js";
import { removeSnapshot } from "../containerd/snapshots.js";
import { deleteContainer, getTask, removeTask } from "../containerd/tasks.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { identifier, migrationId } from "../manifest.js";
import { removeNamespace } from "../network/namespace.js";

const note = z.object({
  id: migrationId,
  namespace: identifier,
  container: identifier,
  snapshotter: identifier,
  /** Of the network namespace; absent: none of ours. */
  netns: z.string().max(4096).optional(),
});
type Note = z.infer<typeof note>;

export class Making {
  private constructor(
    private readonly context: Context,
    private noted: Note,
  ) {}

  /** Before anything of that name is made. */
  static async begin(context: Context, id: string, what: Omit<Note, "id">): Promise<Making> {
    const making = new Making(context, { id, ...what });
    await making.note({});
    return making;
  }

  get lease(): string {
    return `pclive-${this.noted.id}`;
  }

  async note(more: Partial<Note>): Promise<void> {
    this.noted = { ...this.noted, ...more };
    await writeDurably(this.#path, JSON.stringify(note.parse(this.noted)));
  }

  /** It runs: it is containerd's, and the user's. */
  async done(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  /** Idempotent. What cannot be taken away now is tried again at the next start. */
  async undo(): Promise<void> {
    const { namespace, container, snapshotter, netns } = this.noted;
    const ns = this.context.containerd.namespace(namespace);
    try {
      await removeTask(ns, container);
      await deleteContainer(ns, container);
      await removeSnapshot(ns, snapshotter, container);
      if (netns !== undefined) await removeNamespace(netns);
      await deleteLease(ns, this.lease);
      await this.done();
    } catch (error) {
      const { message } = AgentError.from(error);
      this.context.log.error(
        { container, error: message },
        "not everything of a failed restore could be removed",
      );
    }
  }

  /** After a start of the agent. One that runs has been finished, but for our note. */
  static async sweep(context: Context): Promise<void> {
    const folder = makingDir(context);
    for (const name of await readdir(folder).catch(() => [])) {
      const found = note.safeParse(parsed(await readFile(join(folder, name), "utf8").catch(() => "")));
      if (!found.success) {
        await rm(join(folder, name), { force: true });
        continue;
      }
      const making = new Making(context, found.data);
      const ns = context.containerd.namespace(found.data.namespace);
      const status = await getTask(ns, found.data.container).then(
        (task) => task?.status,
        () => "unknown" as const,
      );
      if (status === "running") await making.done();
      else if (status !== "unknown") await making.undo();
    }
  }

  get #path(): string {
    return join(makingDir(this.context), `${this.noted.id}.json`);
  }
}

function makingDir(context: Context): string {
  return join(context.config.stateDir, "making");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
