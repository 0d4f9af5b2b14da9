/** `pclive restore`: a container that exists and does not run goes on from an image. */
import { realpath, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import type { pclive } from "#protos/agent";
import { cachePlace } from "../cache/name.js";
import { restoreFromCache } from "../cache/restore.js";
import type { Context } from "../context.js";
import { AgentError } from "../errors.js";
import { findContainer, mustBeStopped } from "./existing.js";
import { restoreInto } from "./restore-into.js";
import { makeTwin, removeTwin } from "./twin.js";

/** @throws AgentError; the container is stopped then, as before, and one that was to be made is not there */
export async function restoreContainer(
  context: Context,
  request: pclive.agent.v1.RestoreRequest,
): Promise<pclive.agent.v1.IRestoreReport> {
  const { name, netns } = request;
  const cached = cachePlace(request.from);
  if (cached !== undefined) return restoreFromCache(context, cached, request);
  const from = await imageAt(request.from);
  const ns = context.containerd.namespace(request.namespace || "default");
  const original = await findContainer(ns, request.container);
  if (name === "") {
    if (netns !== "") throw new AgentError("USAGE", "--netns is for a new container: give its --name");
    await mustBeStopped(ns, original.id);
    return restoreInto(context, ns, original, { from });
  }
  const twin = await makeTwin(ns, original, { name, netns });
  try {
    return await restoreInto(context, ns, twin, { from });
  } catch (error) {
    await removeTwin(ns, twin);
    throw error;
  }
}

/** The folder itself, where links lead to it. @throws AgentError USAGE, REFUSED */
async function imageAt(from: string): Promise<string> {
  if (!isAbsolute(from)) {
    throw new AgentError("USAGE", `"${from.slice(0, 256)}" is no absolute path`, {
      remedy: "name a folder with --from",
    });
  }
  const found = await stat(join(from, "inventory.img")).catch(() => undefined);
  if (found?.isFile()) return realpath(from);
  throw new AgentError("REFUSED", `${from} holds no image: there is no inventory.img in it`, {
    remedy: "name the folder that a checkpoint was written to, on this host",
  });
}
