/** The name of what is being made beside its place, and gets the place's own when it is complete. */
import { randomBytes } from "node:crypto";
import { basename, dirname, join } from "node:path";

/** Characters of up to 4 bytes; a name has 255 bytes, and ours adds 21. */
const MAX_NAME = 50;
const UNFINISHED = /^\.(.*)\.pclive-[0-9a-f]{12}$/s;

/** A path that is nobody's yet, in the folder of `path`. */
export function unfinishedBeside(path: string): string {
  return join(dirname(path), nameOf(basename(path).slice(0, MAX_NAME)));
}

/** The same inside of a folder. */
export function unfinishedInside(folder: string): string {
  return join(folder, nameOf(""));
}

/** Whose it is, by its name (the first 50 characters of it); undefined when it is another kind of name. */
export function unfinishedOf(name: string): string | undefined {
  return UNFINISHED.exec(name)?.[1];
}

function nameOf(base: string): string {
  return `.${base}.pclive-${randomBytes(6).toString("hex")}`;
}
