/** Changes to JSON texts that leave them JSON, mostly. */
import { mutateBytes } from "./mutate-bytes.js";
import type { Random } from "./random.js";

const MAX_HOLDERS = 1000;

type Holder = Record<string, unknown>;

const VALUES = [
  null,
  true,
  0,
  -1,
  1e308,
  2 ** 53,
  "",
  "../..",
  "/",
  "\0",
  "__proto__",
  [],
  {},
  [null],
  { type: 5 },
] as const;
const KEYS = [
  "__proto__",
  "constructor",
  "toString",
  "",
  "annotations",
  "linux",
  "namespaces",
  "path",
  "root",
] as const;

export function mutateJson(random: Random, bytes: Buffer): Buffer {
  const value = parsed(bytes);
  if (value === undefined) return mutateBytes(random, bytes);
  if (random.oneIn(8)) return mutateBytes(random, bytes);
  if (random.oneIn(40)) return Buffer.from(deep(random));
  const holders: Holder[] = [];
  collect(value, holders);
  // What is nested too deep cannot be written again.
  if (holders.length > MAX_HOLDERS) return mutateBytes(random, bytes);
  if (holders.length === 0) return Buffer.from(JSON.stringify(random.pick(VALUES)));
  const holder = holders[random.below(holders.length)] ?? {};
  const keys = Object.keys(holder);
  const known = keys[random.below(keys.length)];
  if (known !== undefined && random.oneIn(3)) delete holder[known];
  else if (known !== undefined && random.oneIn(2)) holder[known] = valueFor(random);
  else {
    // A plain assignment to __proto__ would set no key.
    Object.defineProperty(holder, random.pick(KEYS), {
      value: valueFor(random),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return Buffer.from(JSON.stringify(value));
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

function valueFor(random: Random): unknown {
  if (random.oneIn(20)) return "x".repeat(random.pick([129, 4096, 40_000] as const));
  if (random.oneIn(20)) return Array.from({ length: 5000 }, () => random.pick(VALUES));
  return structuredClone(random.pick(VALUES));
}

function deep(random: Random): string {
  const depth = random.pick([100, 5000, 30_000] as const);
  return random.oneIn(2)
    ? "[".repeat(depth) + "]".repeat(depth)
    : `${'{"linux":'.repeat(depth / 5)}1${"}".repeat(depth / 5)}`;
}

function collect(value: unknown, holders: Holder[]): void {
  const todo = [value];
  for (let next = todo.pop(); next !== undefined && holders.length <= MAX_HOLDERS; next = todo.pop()) {
    if (typeof next !== "object" || next === null) continue;
    holders.push(next as Holder);
    todo.push(...Object.values(next).filter((child) => child !== undefined));
  }
}
