/**
 * Where the descriptors 0-2 of init led when runC started it. A dump lists these, whatever the program has done with its descriptors
 * since: some servers open /dev/null in place of their standard input.
 */
import { readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

export type StdioLinks = [string, string, string];

/** Where runC keeps its state when the container's options do not say. */
const DEFAULT_ROOT = "/run/containerd/runc";
const link = z.string().max(4096);
const state = z.object({ external_descriptors: z.tuple([link, link, link]) });
const options = z.object({ root: z.string().optional() });

function readJson<T>(schema: z.ZodType<T>, file: string): T | undefined {
  try {
    return schema.safeParse(JSON.parse(readFileSync(file, "utf8"))).data;
  } catch {
    return undefined; // not there, or not JSON
  }
}

/** @param bundle of the container @param pid of its init, asked when runC's state does not tell */
export function stdioLinks(bundle: string, namespace: string, id: string, pid: number): StdioLinks {
  const root = readJson(options, join(bundle, "options.json"))?.root || DEFAULT_ROOT;
  const recorded = readJson(state, join(root, namespace, id, "state.json"));
  return recorded?.external_descriptors ?? [linkNow(pid, 0), linkNow(pid, 1), linkNow(pid, 2)];
}

function linkNow(pid: number, descriptor: number): string {
  try {
    return readlinkSync(`/proc/${pid}/fd/${descriptor}`);
  } catch {
    return "/dev/null"; // closed by the program: runC lists what it can, and so do we
  }
}
