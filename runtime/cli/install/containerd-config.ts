/**
 * Adds our CRI runtime handler to the text of a containerd configuration file, and takes it out again.
 * Pure functions: text in, text out.
 *
 * What the generations of containerd do, found with `containerd config dump`:
 * - Up to 1.7 a file that is imported replaces a plugin's whole section, so a drop-in with nothing but our handler
 *   would drop the owner's CRI settings. Hence a block in the very file that holds the section.
 * - Up to 1.7 the first table under `runtimes` also replaces the built-in one of runc, without which CRI does not
 *   start. Hence, where the file names no runtime, the block names runc as well.
 * - 2.x reads version 2 and moves the settings to the new plugin by itself; in a file of version 3 only the new
 *   plugin's name counts.
 */
import { isDeepStrictEqual } from "node:util";
import { stringify } from "smol-toml";
import { asLines, findBlock, frame, hasStrayMark, joint } from "./block.js";
import { reason, refused } from "./errors.js";
import { HANDLER, RUNTIME_TYPE } from "./names.js";
import { at, isTable, parseToml, type Table, tableAt, without } from "./toml.js";

export type Edit =
  | { readonly kind: "changed"; readonly text: string }
  | { readonly kind: "unchanged"; readonly why: string }
  | { readonly kind: "not-needed"; readonly why: string };

const CRI_PLUGIN: Record<number, string> = {
  2: "io.containerd.grpc.v1.cri",
  3: "io.containerd.cri.v1.runtime",
  4: "io.containerd.cri.v1.runtime",
};
const CRI_NAMES = ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime"];

/** What belongs to runc's own binary or shim and not to the handler. */
const RUNC_ONLY = ["runtime_type", "runtime_path", "runtime_engine", "runtime_root", "options"];

/** The table of all runtimes in a file of that version. */
export function runtimesPath(version: number): readonly string[] | undefined {
  const plugin = CRI_PLUGIN[version];
  return plugin === undefined ? undefined : ["plugins", plugin, "containerd", "runtimes"];
}

/** Parses a file of containerd's. @throws CliError that names the file, the line and what to do */
export function parseConfig(path: string, text: string): Table {
  try {
    return parseToml(text);
  } catch (error) {
    const [first, ...excerpt] = reason(error).trimEnd().split("\n");
    const where = excerpt.length === 0 ? "" : `\n${excerpt.filter((line) => line !== "").join("\n")}\n`;
    throw refused(
      path,
      `not valid TOML: ${first}${where}`,
      "mend the file; `containerd config dump` must accept it",
    );
  }
}

/** The version that a file states; 0 for a file that says nothing at all, 1 for one without a version. */
export function versionOf(table: Table): number {
  const { version } = table;
  if (version === undefined) return Object.keys(table).length === 0 ? 0 : 1;
  return typeof version === "number" ? version : Number.NaN;
}

export function criIsDisabled(table: Table): boolean {
  const { disabled_plugins: disabled } = table;
  return Array.isArray(disabled) && disabled.some((name) => CRI_NAMES.includes(name));
}

/**
 * The text with our handler in it.
 * @param inherited version of the importing file, for an imported one that has none
 * @throws CliError when the file must not be touched
 */
export function addHandler(path: string, text: string, inherited = 0): Edit {
  const current = parseConfig(path, text);
  if (criIsDisabled(current)) return { kind: "not-needed", why: "it disables CRI" };
  if (hasStrayMark(text)) throw strayMark(path);
  const found = findBlock(text);
  const rest = found === undefined ? text : found.before + found.behind;
  const owners = parseConfig(path, rest);
  const version = fileVersion(path, owners, inherited);
  const runtimes = runtimesPath(version) ?? [];
  const theirs = at(owners, [...runtimes, HANDLER]);
  if (theirs !== undefined) return ownHandler(path, theirs, found !== undefined);

  const stated = "version" in owners || inherited > 0 ? [] : [`version = ${version}`];
  const block = frame([...stated, ...handlerLines(runtimes, owners, version)], rest);
  // A block of ours stays where it is, also when its owner wrote on behind it.
  if (found?.block.trimEnd() === block.trimEnd()) return { kind: "unchanged", why: "the handler is there" };
  const changed = rest + joint(rest) + block;
  verify(path, changed, owners, runtimes);
  return { kind: "changed", text: changed };
}

/** The text without our handler. @throws CliError when it cannot be taken out without harm */
export function removeHandler(path: string, text: string): Edit {
  const current = parseConfig(path, text);
  if (hasStrayMark(text)) throw strayMark(path);
  const found = findBlock(text);
  if (found === undefined) return { kind: "unchanged", why: "nothing of ours is in it" };
  refuseDefault(path, current);
  const runtimes = runtimesPath(versionOf(current)) ?? inheritedPath(current);
  const written = readable(path, found.block);
  const rest = readable(path, found.before + found.behind);
  const kept = keptLines(rest, written, runtimes);
  const changed = found.before + asLines(kept, text) + found.behind;
  // Only our handler is gone, and what was there for its sake alone.
  const ours = [
    [...runtimes, HANDLER],
    ...(at(written, [...runtimes, "runc"]) === undefined ? [] : [[...runtimes, "runc"]]),
    ["version"],
  ];
  const stripped = (table: Table) => prune(ours.reduce(without, table));
  if (!isDeepStrictEqual(stripped(readable(path, changed)), stripped(current))) throw moved(path);
  return { kind: "changed", text: changed };
}

/** What our block said for the whole file, and what was written since counts on: it stays when the block goes. */
function keptLines(rest: Table, written: Table, runtimes: readonly string[]): string[] {
  const lines: string[] = [];
  if ("version" in written && versionOf(rest) === 1) lines.push(`version = ${String(written["version"])}`);
  const runc = [...runtimes, "runc"];
  const needed = tableAt(rest, runtimes) !== undefined && at(rest, [...runc, "runtime_type"]) === undefined;
  if (needed && at(written, runc) !== undefined) lines.push(...runcLines(runtimes));
  return lines;
}

function refuseDefault(path: string, table: Table): void {
  for (const plugin of Object.values(CRI_PLUGIN)) {
    if (at(table, ["plugins", plugin, "containerd", "default_runtime_name"]) !== HANDLER) continue;
    throw refused(path, `default_runtime_name is "${HANDLER}"`, 'set it to "runc", then try again');
  }
}

/** For an imported file that states no version: the plugin's name under which our handler is. */
function inheritedPath(table: Table): readonly string[] {
  const paths = Object.keys(CRI_PLUGIN).map((version) => runtimesPath(Number(version)) ?? []);
  return paths.find((path) => at(table, [...path, HANDLER]) !== undefined) ?? paths[0] ?? [];
}

function fileVersion(path: string, owners: Table, inherited: number): number {
  const stated = inherited > 0 && !("version" in owners) ? inherited : versionOf(owners);
  if (stated === 0) return 2;
  if (stated === 1) {
    throw refused(
      path,
      "a configuration of version 1 (it states no version), which containerd 2 no longer reads",
      "rewrite it with `containerd config migrate`, or put `version = 2` first if it has no [plugins] " +
        "section and no short plugin names; or skip it with --no-containerd",
    );
  }
  if (CRI_PLUGIN[stated] === undefined) {
    throw refused(
      path,
      `version ${String(owners.version)} is not known here`,
      "add the handler by hand, see docs/install.md; skip this file with --no-containerd",
    );
  }
  return stated;
}

function ownHandler(path: string, theirs: unknown, withBlock: boolean): Edit {
  if (!withBlock && isTable(theirs) && theirs["runtime_type"] === RUNTIME_TYPE) {
    return { kind: "unchanged", why: "its owner wrote the handler" };
  }
  throw refused(
    path,
    withBlock
      ? `the runtime "${HANDLER}" is there twice, in our block and outside of it`
      : `another runtime is called "${HANDLER}" there`,
    "take it out of the file, or skip the file with --no-containerd",
  );
}

/** The lines of the handler: what runc's has (pod annotations, CNI, options …) holds for ours. */
function handlerLines(runtimes: readonly string[], owners: Table, version: number): string[] {
  const runc = tableAt(owners, [...runtimes, "runc"]) ?? {};
  const options = tableAt(runc, ["options"]) ?? {};
  const shared = Object.fromEntries(Object.entries(runc).filter(([key]) => !RUNC_ONLY.includes(key)));
  const lines = version === 2 && tableAt(owners, runtimes) === undefined ? runcLines(runtimes) : [];
  lines.push(...tableLines([...runtimes, HANDLER], { runtime_type: RUNTIME_TYPE, ...shared }));
  if (Object.keys(options).length > 0) lines.push(...tableLines([...runtimes, HANDLER, "options"], options));
  return lines;
}

function runcLines(runtimes: readonly string[]): string[] {
  return tableLines([...runtimes, "runc"], { runtime_type: "io.containerd.runc.v2" });
}

function tableLines(path: readonly string[], content: Table): string[] {
  const name = path.map((key) => (/^[A-Za-z0-9_-]+$/.test(key) ? key : JSON.stringify(key))).join(".");
  const plain = Object.entries(content).filter(([, value]) => !isTable(value));
  return [
    `[${name}]`,
    ...stringify(Object.fromEntries(plain))
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}`),
  ];
}

/** Whatever a file looks like: ours must be in it now, and nothing else may differ. */
function verify(path: string, text: string, owners: Table, runtimes: readonly string[]): void {
  let after: Table;
  try {
    after = parseToml(text);
  } catch {
    throw refused(
      path,
      "it defines its runtimes in a form that cannot be added to (an inline table?)",
      `add the handler by hand: runtime "${HANDLER}" with runtime_type = "${RUNTIME_TYPE}", see docs/install.md`,
    );
  }
  let others = without(after, [...runtimes, HANDLER]);
  if (tableAt(owners, runtimes) === undefined) others = without(others, [...runtimes, "runc"]);
  if (!("version" in owners)) others = without(others, ["version"]);
  // Tables that were there and empty are pruned on both sides.
  if (!isDeepStrictEqual(prune(others), prune(owners))) throw moved(path);
}

function prune(table: Table): Table {
  const entries = Object.entries(table).map(
    ([key, value]) => [key, isTable(value) ? prune(value) : value] as const,
  );
  return Object.fromEntries(entries.filter(([, value]) => !isTable(value) || Object.keys(value).length > 0));
}

function readable(path: string, text: string): Table {
  try {
    return parseToml(text);
  } catch {
    throw moved(path);
  }
}

function moved(path: string) {
  return refused(
    path,
    "lines behind our block belong to its tables, so that the edit would change what they mean",
    "edit the file by hand: take what is not ours out of the marked block",
  );
}

function strayMark(path: string) {
  return refused(
    path,
    "one of the two marks of our block is gone, or there are two blocks",
    "take what is between or behind `# >>> pclive >>>` and `# <<< pclive <<<` out by hand, marks included",
  );
}
