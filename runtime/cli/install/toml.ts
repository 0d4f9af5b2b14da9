/** Reading TOML and looking into it. */
import { parse } from "smol-toml";

export type Table = { readonly [key: string]: unknown };

export function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** @throws Error that names line and column */
export function parseToml(text: string): Table {
  // An integer beyond 2^53 must not fail a file that containerd accepts.
  return parse(text, { integersAsBigInt: "asNeeded" });
}

/** The value at a path of keys, or undefined. */
export function at(table: Table, path: readonly string[]): unknown {
  let value: unknown = table;
  for (const key of path) {
    if (!isTable(value) || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}

export function tableAt(table: Table, path: readonly string[]): Table | undefined {
  const value = at(table, path);
  return isTable(value) ? value : undefined;
}

/** The table without the key at the end of `path`, and without the tables which that leaves empty. */
export function without(table: Table, path: readonly string[]): Table {
  const [key, ...rest] = path;
  if (key === undefined || !Object.hasOwn(table, key)) return table;
  const { [key]: inner, ...others } = table;
  if (rest.length === 0 || !isTable(inner)) return rest.length === 0 ? others : table;
  const remaining = without(inner, rest);
  return Object.keys(remaining).length === 0 ? others : { ...others, [key]: remaining };
}
