/**
 * The files of the host, or of a staged system below `--root`: every path here is one inside of it, and symbolic links
 * are followed inside of it.
 */
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { refused } from "./errors.js";
import { type Owner, replaceFile } from "./replace.js";

/** A configuration file larger than this is something else. */
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_LINKS = 40;

export class Root {
  constructor(readonly folder: string) {}

  /** Whether this is the running system, so that its programs may be asked and its daemons told. */
  get isHost(): boolean {
    return this.folder === "/";
  }

  /** Where the path is on this machine. Its own last link is followed only with `follow`. */
  real(path: string, follow = true): string {
    return join(this.folder, this.#resolve(path, follow));
  }

  exists(path: string): boolean {
    return lstatSync(this.real(path, false), { throwIfNoEntry: false }) !== undefined;
  }

  /** A file's bytes, or undefined when there is no such file. @throws CliError when it cannot be read */
  read(path: string): Buffer | undefined {
    const real = this.real(path);
    const stat = statSync(real, { throwIfNoEntry: false });
    if (stat === undefined) {
      if (this.#isLink(path)) throw refused(path, "a symbolic link to nothing", "mend or remove the link");
      return undefined;
    }
    if (!stat.isFile()) throw refused(path, "not a regular file", "name another file");
    if (stat.size > MAX_BYTES) throw refused(path, `larger than ${MAX_BYTES} bytes`, "name another file");
    return readFileSync(real);
  }

  readText(path: string): string | undefined {
    const bytes = this.read(path);
    if (bytes === undefined) return undefined;
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw refused(path, "not UTF-8 text", "mend the file");
    }
  }

  /** Replaces or makes a file as a whole; mode and owner of one that is there are kept. */
  write(path: string, content: string | Uint8Array, made?: Owner): void {
    replaceFile(this.real(path), content, made);
  }

  /** A copy with the file's own mode and owner. */
  copy(path: string, to: string): void {
    const { mode, uid, gid } = statSync(this.real(path));
    this.write(to, readFileSync(this.real(path)), { mode, uid, gid });
  }

  remove(path: string): void {
    rmSync(this.real(path, false), { force: true });
  }

  link(path: string, target: string): void {
    symlinkSync(target, this.real(path, false));
  }

  linkTarget(path: string): string | undefined {
    return this.#isLink(path) ? readlinkSync(this.real(path, false)) : undefined;
  }

  /** Makes the folder and what is missing above it; answers with what was made, the outermost first. */
  makeFolder(path: string, mode = 0o755): string[] {
    const missing: string[] = [];
    for (let folder = path; !this.exists(folder); folder = dirname(folder)) missing.unshift(folder);
    for (const folder of missing) mkdirSync(this.real(folder), folder === path ? mode : 0o755);
    return missing;
  }

  /** Takes a folder away when it is empty. */
  removeFolder(path: string): void {
    try {
      rmdirSync(this.real(path, false));
    } catch {
      // Somebody has put something into it, or it is gone.
    }
  }

  /** The paths that a pattern with `*`, `?` and `[…]` names, in order, as Go's filepath.Glob. */
  glob(pattern: string): string[] {
    let found = ["/"];
    for (const part of pattern.split("/").filter((name) => name !== "")) {
      found = found.flatMap((folder) => this.#matching(folder, part));
    }
    return found;
  }

  #matching(folder: string, part: string): string[] {
    if (!/[*?[]/.test(part)) {
      const path = join(folder, part);
      return this.exists(path) ? [path] : [];
    }
    const expression = wildcard(part);
    if (!statSync(this.real(folder), { throwIfNoEntry: false })?.isDirectory()) return [];
    const names = readdirSync(this.real(folder)).filter((name) => expression.test(name));
    return names.sort().map((name) => join(folder, name));
  }

  #isLink(path: string): boolean {
    return lstatSync(this.real(path, false), { throwIfNoEntry: false })?.isSymbolicLink() === true;
  }

  /** The path with every link replaced by what it points to, never above our root. */
  #resolve(path: string, follow: boolean): string {
    const pending = resolve("/", path).split("/").filter(Boolean);
    let done = "/";
    let links = 0;
    for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
      const next = resolve(done, name);
      const real = join(this.folder, next);
      const last = pending.length === 0 && !follow;
      if (last || lstatSync(real, { throwIfNoEntry: false })?.isSymbolicLink() !== true) {
        done = next;
        continue;
      }
      if (++links > MAX_LINKS) throw refused(path, "too many symbolic links", "look for a loop");
      const target = readlinkSync(real);
      if (target.startsWith("/")) done = "/";
      pending.unshift(...target.split("/").filter(Boolean));
    }
    return done;
  }
}

function wildcard(part: string): RegExp {
  const source = part
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`);
}
