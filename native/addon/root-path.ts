import { readlinkSync } from "node:fs";
import { dirname, join } from "node:path";

/** As many as the kernel follows, for the same reason. */
const MAX_LINKS = 40;

/**
 * Where `path` leads when `root` is taken for "/": links and ".." do not get out of it. What does not exist is
 * taken as it is named.
 * @param root absolute, without links
 */
export function pathInRoot(root: string, path: string): string {
  const todo = path.split("/").reverse();
  let inside = "/";
  let links = 0;
  for (let part = todo.pop(); part !== undefined; part = todo.pop()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      inside = dirname(inside);
      continue;
    }
    const next = join(inside, part);
    const link = linkOf(join(root, next));
    if (link === undefined) {
      inside = next;
      continue;
    }
    if (++links > MAX_LINKS) throw new Error(`mount target '${path}' has too many symbolic links`);
    if (link.startsWith("/")) inside = "/";
    todo.push(...link.split("/").reverse());
  }
  return inside === "/" ? root : join(root, inside);
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // No link; nothing there; below a file.
    if (code === "EINVAL" || code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
