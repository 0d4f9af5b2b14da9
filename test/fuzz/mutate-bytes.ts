/** Changes that know nothing of what the bytes mean. */
import type { Random } from "./random.js";

export const MAX_INPUT = 24 * 1024;

const NUMBERS = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x400000, 0x400001, 0x7fffffff, 0xffffffff] as const;

type Change = (random: Random, bytes: Buffer) => Buffer;

const flip: Change = (random, bytes) => {
  const changed = Buffer.from(bytes);
  const at = random.below(bytes.length);
  changed[at] = (changed[at] ?? 0) ^ (1 << random.below(8));
  return changed;
};

const overwrite: Change = (random, bytes) => {
  const changed = Buffer.from(bytes);
  const at = random.below(bytes.length);
  random.bytes(1 + random.below(8)).copy(changed, at);
  return changed;
};

const number: Change = (random, bytes) => {
  const changed = Buffer.from(bytes);
  const width = random.pick([1, 2, 4] as const);
  if (bytes.length < width) return changed;
  const value = random.pick(NUMBERS) % 2 ** (8 * width);
  changed.writeUIntBE(value, random.below(bytes.length - width + 1), width);
  return changed;
};

const insert: Change = (random, bytes) =>
  splice(bytes, random.below(bytes.length), 0, random.bytes(1 + random.below(16)));

const remove: Change = (random, bytes) =>
  splice(bytes, random.below(bytes.length), 1 + random.below(Math.min(64, bytes.length)));

const cut: Change = (random, bytes) => Buffer.from(bytes.subarray(0, random.below(bytes.length)));

const repeat: Change = (random, bytes) => {
  const at = random.below(bytes.length);
  const part = bytes.subarray(at, at + 1 + random.below(64));
  const times = random.oneIn(20) ? 1000 : 1 + random.below(8);
  return splice(bytes, at, 0, Buffer.concat(Array.from({ length: times }, () => part)));
};

const CHANGES: readonly [Change, ...Change[]] = [flip, overwrite, number, insert, remove, cut, repeat];

/** One or a few changes. */
export function mutateBytes(random: Random, bytes: Buffer): Buffer {
  let changed = bytes;
  do {
    changed =
      changed.length === 0 ? random.bytes(1 + random.below(16)) : random.pick(CHANGES)(random, changed);
  } while (random.oneIn(3));
  return changed.subarray(0, MAX_INPUT);
}

/** The beginning of one and the end of another. */
export function cross(random: Random, one: Buffer, other: Buffer): Buffer {
  const parts = [
    one.subarray(0, random.below(one.length + 1)),
    other.subarray(random.below(other.length + 1)),
  ];
  return Buffer.concat(parts).subarray(0, MAX_INPUT);
}

function splice(bytes: Buffer, at: number, removed: number, added: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([bytes.subarray(0, at), added, bytes.subarray(at + removed)]);
}
