/**
 * Standard streams for a restored task. Where the image has a pipe there must be one again, although nobody may be at its other end: what
 * CRIU puts in place of it otherwise, it cannot dump a second time.
 */
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseDescriptors } from "../../migration/descriptors.js";
import type { Task } from "../containerd/tasks.js";
import { command } from "../util/command.js";

export interface Streams {
  readonly stdio: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  /** Once the task is started, or will not be. */
  forget(): Promise<void>;
}

const NOWHERE = "file:///dev/null";

/**
 * @param images folder of the image
 * @param before streams that are taken over, as far as they are nobody's pipes
 * @param fifo path for an input that stays silent
 */
export async function streamsFor(
  images: string,
  before: Pick<Task["stdio"], "stdout" | "stderr"> | undefined,
  fifo: string,
): Promise<Streams> {
  const [input, output, errors] = await readFile(join(images, "descriptors.json"), "utf8").then(
    (text) => parseDescriptors(text).map((link) => link.startsWith("pipe:")),
    () => [false, false, false],
  );
  const stdin = input ? fifo : "";
  if (input) {
    await rm(fifo, { force: true });
    await command("mkfifo", ["--mode=600", fifo], { code: "INTERNAL" });
  }
  return {
    stdio: {
      stdin,
      stdout: lasting(before?.stdout) || (output ? NOWHERE : ""),
      stderr: lasting(before?.stderr) || (errors ? NOWHERE : ""),
    },
    forget: () => rm(fifo, { force: true }),
  };
}

function lasting(uri: string | undefined): string {
  return uri !== undefined && /^(file|binary):\/\//.test(uri) ? uri : "";
}
