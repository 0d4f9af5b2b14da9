/** Which of containerd's configuration files is the one to edit. */
import { dirname, isAbsolute, join, normalize } from "node:path";
import { parseConfig, runtimesPath, versionOf } from "./containerd-config.js";
import { refused } from "./errors.js";
import type { Root } from "./root.js";
import { type Table, tableAt } from "./toml.js";

export interface Chosen {
  readonly path: string;
  readonly text: string | undefined; // undefined: there is no such file
  /** Version of the main file, for an imported one that states none. */
  readonly inherited: number;
}

interface Loaded {
  readonly path: string;
  readonly text: string;
  readonly table: Table;
}

/** More than this is a loop or a mistake. */
const MAX_FILES = 256;

/**
 * The main file, unless imported ones have CRI's section too: then the last of these, since up to 1.7 its section
 * replaces all the earlier ones (2.x merges them, so that there it does not matter).
 */
export function chooseFile(root: Root, main: string): Chosen {
  const text = root.readText(main);
  if (text === undefined) return { path: main, text, inherited: 0 };
  const files = load(root, main, text);
  const version = versionOf(files[0]?.table ?? {});
  const holds = (file: Loaded) => {
    const runtimes = runtimesPath("version" in file.table ? versionOf(file.table) : version);
    return runtimes !== undefined && tableAt(file.table, runtimes.slice(0, 2)) !== undefined;
  };
  const last = files.slice(1).findLast(holds);
  return last === undefined ? { path: main, text, inherited: 0 } : { ...last, inherited: version };
}

/** The files in the order in which containerd merges them. */
function load(root: Root, main: string, text: string): Loaded[] {
  const files: Loaded[] = [];
  const pending = [main];
  const seen = new Set<string>();
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    if (seen.has(path)) continue;
    seen.add(path);
    if (seen.size > MAX_FILES) throw refused(main, `imports more than ${MAX_FILES} files`, "look for a loop");
    const content = path === main ? text : root.readText(path);
    if (content === undefined) throw refused(main, `imports ${path}, which is not there`, "mend `imports`");
    const table = parseConfig(path, content);
    files.push({ path, text: content, table });
    pending.push(...imports(root, path, table));
  }
  return files;
}

function imports(root: Root, path: string, table: Table): string[] {
  const { imports: list } = table;
  if (!Array.isArray(list)) return [];
  return list
    .filter((name) => typeof name === "string")
    .flatMap((name) => {
      const full = normalize(isAbsolute(name) ? name : join(dirname(path), name));
      return full.includes("*") ? root.glob(full) : [full];
    });
}
