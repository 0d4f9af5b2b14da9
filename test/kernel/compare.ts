/** Holds two results beside each other, leaf by leaf. */

type Leaf = string | number | boolean | null;

/** Limits and names: equal to the last digit. Everything else counts something that goes on moving. */
const FIXED = /(limit|Limit|pagesize|device|major|minor|op|type|deleted|oomKillDisable|underOom|#)$/;
/** On which processor something ran is chance. */
const CHANCE = /\/perCpu\/\d+$/;
/** A counter that is small may be zero at one moment and not at another. */
const SMALL = 64 << 20;
/** How far two counters of the same work may be apart. */
const FACTOR = 20;

/** @returns a line for each difference that is no chance */
export function differences(stock: unknown, ours: unknown): string[] {
  const [left, right] = [leaves(stock), leaves(ours)];
  const paths = new Set([...left.keys(), ...right.keys()]);
  return [...paths].flatMap((path) => {
    const [theirs, mine] = [left.get(path), right.get(path)];
    // All counters of a part may be zero here, so that it is empty, and not there: they are compared one by one.
    if (path.endsWith("/#") && (holds(left, path) || holds(right, path))) return [];
    return alike(path, theirs, mine) ? [] : [`${path}: stock ${theirs}, ours ${mine}`];
  });
}

/** Whether there is anything in the part that the other result has as an empty one. */
function holds(all: ReadonlyMap<string, Leaf>, empty: string): boolean {
  const part = empty.slice(0, -1);
  return [...all.keys()].some((path) => path !== empty && path.startsWith(part));
}

function alike(path: string, theirs: Leaf | undefined, mine: Leaf | undefined): boolean {
  if (theirs === mine || CHANCE.test(path)) return true;
  if (FIXED.test(path)) return false;
  const [one, two] = [theirs ?? 0, mine ?? 0];
  if (typeof one !== "number" || typeof two !== "number") return false;
  const [less, more] = one < two ? [one, two] : [two, one];
  return more <= SMALL || more <= less * FACTOR;
}

/** Sizes of pages come in the order of a folder's entries, which is chance. */
function ordered(value: object): object {
  if (!Array.isArray(value)) return value;
  const size = (each: { pagesize?: unknown } | null) => String(each?.pagesize ?? "");
  return value.toSorted((one, two) => size(one).localeCompare(size(two)));
}

/** The leaves of plain JSON by their paths; a list also by its length. */
function leaves(value: unknown, path = ""): Map<string, Leaf> {
  if (typeof value !== "object" || value === null) return new Map([[path, value as Leaf]]);
  const length: [string, Leaf][] = Array.isArray(value) ? [[`${path}#`, value.length]] : [];
  const below = Object.entries(ordered(value)).flatMap(([name, field]) => [
    ...leaves(field, `${path}/${name}`),
  ]);
  // A part that is there but empty is not the same as one that is missing.
  const here: [string, Leaf][] = Object.keys(value).length === 0 ? [[`${path}/#`, 0]] : [];
  return new Map([...length, ...here, ...below]);
}
