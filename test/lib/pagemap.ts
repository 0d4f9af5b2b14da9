/** Makes an image incremental by hand: some pages stay, the others are said to be in the parent. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PAGE = 4096;
const HEADER = 8;
/** Pages that go together to one side or the other. */
const RUN = 24;
const IN_PARENT = 1;
const PRESENT = 4;

interface Entry {
  readonly address: bigint;
  readonly pages: number;
}

/** Of process `pid`: every second run of pages is taken out of the pages image. */
export function dropToParent(directory: string, pid: number): void {
  const pagemapPath = join(directory, `pagemap-${pid}.img`);
  const file = readFileSync(pagemapPath);
  const [head, ...messages] = split(file);
  if (!head) throw new Error("a pagemap without a head");
  const pagesPath = join(directory, `pages-${Number(fieldsOf(head).get(1))}.img`);
  const pages = readFileSync(pagesPath);
  const kept: Buffer[] = [];
  const entries: Buffer[] = [];
  let offset = 0;
  for (const { address, pages: count } of messages.map(entryOf)) {
    for (let first = 0; first < count; first += RUN) {
      const size = Math.min(RUN, count - first);
      const present = (first / RUN) % 2 === 0;
      const at = offset + first * PAGE;
      if (present) kept.push(pages.subarray(at, at + size * PAGE));
      entries.push(encode(address + BigInt(first * PAGE), size, present));
    }
    offset += count * PAGE;
  }
  writeFileSync(pagesPath, Buffer.concat(kept));
  writeFileSync(pagemapPath, Buffer.concat([file.subarray(0, HEADER), framed(head), ...entries]));
}

function entryOf(message: Buffer): Entry {
  const fields = fieldsOf(message);
  return { address: fields.get(1) ?? 0n, pages: Number(fields.get(5) ?? fields.get(2)) };
}

function encode(address: bigint, pages: number, present: boolean): Buffer {
  const fields: [number, bigint][] = [
    [1, address],
    [2, BigInt(pages)],
    ...(present ? [] : [[3, 1n] as [number, bigint]]),
    [4, BigInt(present ? PRESENT : IN_PARENT)],
    [5, BigInt(pages)],
  ];
  return framed(
    Buffer.concat(
      fields.map(([number, value]) => Buffer.concat([varint(BigInt(number << 3)), varint(value)])),
    ),
  );
}

function split(file: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = HEADER; at < file.length; ) {
    const size = file.readUInt32LE(at);
    messages.push(file.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return messages;
}

function framed(message: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(message.length);
  return Buffer.concat([size, message]);
}

/** All fields of these messages are varints. */
function fieldsOf(message: Buffer): Map<number, bigint> {
  const fields = new Map<number, bigint>();
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] ?? 0;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.length) {
    const key = next();
    fields.set(Number(key >> 3n), next());
  }
  return fields;
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
