/**
 * YCSB's records: ten fields of 100 bytes. A field's value follows from record, field and version, so that whoever reads it can tell a
 * right one from a wrong one.
 */
import { mix, seeded } from "./random.js";

export const FIELDS = 10;
export const FIELD_BYTES = 100;

const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
const TEXT_BYTES = 1 << 20;

/** Values are cut from this: random text, so that nothing on the way gains by compressing it. */
const TEXT = ((): string => {
  const random = seeded(1);
  let text = "";
  for (let i = 0; i < TEXT_BYTES; i++) text += LETTERS[Math.floor(random() * LETTERS.length)];
  return text;
})();

/** Keys in an order that has nothing to do with that of the records. */
export function keyOf(record: number): string {
  return `user${(mix(record + 1) >>> 0).toString().padStart(10, "0")}`;
}

export const fieldName = (field: number): string => `field${field}`;

export function fieldValue(record: number, field: number, version: number): string {
  const head = `${record}.${field}.${version}.`;
  const at = (mix(mix(record) ^ mix(field * 0x10001 + version)) >>> 0) % (TEXT_BYTES - FIELD_BYTES);
  return head + TEXT.slice(at, at + FIELD_BYTES - head.length);
}

/** The version that a value says it has. @returns undefined when it is no value of this field */
export function versionIn(record: number, field: number, value: string): number | undefined {
  const version = Number(value.split(".", 3)[2]);
  return Number.isInteger(version) && fieldValue(record, field, version) === value ? version : undefined;
}

/** What the client last wrote into each field. */
export class Versions {
  private readonly known = new Map<number, number>();

  /** @returns the version to write now; where none is known, one that no earlier client will have used */
  next(record: number, field: number): number {
    const version = (this.get(record, field) ?? Date.now() % 1e9) + 1;
    this.known.set(record * FIELDS + field, version);
    return version;
  }

  /** undefined: as somebody else left it */
  get(record: number, field: number): number | undefined {
    return this.known.get(record * FIELDS + field);
  }

  /** Records of which a field was written. */
  records(): number[] {
    return [...new Set([...this.known.keys()].map((key) => Math.floor(key / FIELDS)))];
  }

  of(record: number): (number | undefined)[] {
    return Array.from({ length: FIELDS }, (_, field) => this.get(record, field));
  }
}
