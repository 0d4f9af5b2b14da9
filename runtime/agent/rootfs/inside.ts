/** Opens files in a tree that a container may be changing meanwhile: no link on the way is followed, no device touched. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY } = constants;
const FOLDER = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
/** Finds a file without opening it; Node has no name for it. */
const O_PATH = 0o10000000;

/**
 * @param root absolute; not changed by the container itself
 * @param path relative, without empty parts, "." and ".."
 * @param flags O_RDONLY or O_RDWR
 * @throws when there is no plain file, or a link on the way
 */
export async function openFileInside(root: string, path: string, flags: number): Promise<FileHandle> {
  const parts = path.split("/");
  const name = parts.pop() ?? "";
  let at = await open(root, O_RDONLY | O_DIRECTORY);
  try {
    for (const part of parts) at = await step(at, below(at, part), FOLDER);
    at = await step(at, below(at, name), O_PATH | O_NOFOLLOW);
    if (!(await at.stat()).isFile()) throw new Error(`${path} is no plain file`);
    return await open(`/proc/self/fd/${at.fd}`, flags);
  } finally {
    await at.close();
  }
}

async function step(from: FileHandle, path: string, flags: number): Promise<FileHandle> {
  const to = await open(path, flags);
  await from.close();
  return to;
}

/** Node has no openat. */
function below(folder: FileHandle, name: string): string {
  return `/proc/self/fd/${folder.fd}/${name}`;
}
