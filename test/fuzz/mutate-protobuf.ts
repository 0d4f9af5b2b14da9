/** Changes to protobuf messages that leave them messages, mostly. */
import protobuf from "protobufjs/minimal.js";
import { mutateBytes } from "./mutate-bytes.js";
import type { Random } from "./random.js";

const { Reader, Writer } = protobuf;

/** A field with its tag, as it was encoded. */
type Field = Buffer;

const MAX_DEPTH = 5;

export function mutateProtobuf(random: Random, bytes: Buffer, depth = 0): Buffer {
  const fields = fieldsOf(bytes);
  if (fields === undefined || fields.length === 0 || random.oneIn(6)) return mutateBytes(random, bytes);
  const at = random.below(fields.length);
  const field = fields[at] ?? Buffer.alloc(0);
  switch (random.below(5)) {
    case 0:
      fields.splice(at, 1);
      break;
    case 1:
      fields.splice(
        at,
        0,
        ...Array.from({ length: random.oneIn(10) ? 2000 : 1 + random.below(3) }, () => field),
      );
      break;
    case 2:
      fields.splice(at, 1, randomField(random));
      break;
    case 3:
      fields.push(randomField(random));
      break;
    default:
      fields.splice(at, 1, changeField(random, field, depth));
  }
  return Buffer.concat(fields);
}

function changeField(random: Random, field: Field, depth: number): Field {
  const reader = Reader.create(field);
  const tag = reader.uint32();
  if ((tag & 7) !== 2 || depth >= MAX_DEPTH) return randomField(random, tag >>> 3);
  const content = Buffer.from(reader.bytes());
  const changed = random.oneIn(2) ? mutateProtobuf(random, content, depth + 1) : mutateBytes(random, content);
  return Buffer.from(Writer.create().uint32(tag).bytes(changed).finish());
}

function randomField(random: Random, number = 1 + random.below(16)): Field {
  const writer = Writer.create();
  switch (random.below(4)) {
    case 0:
      writer
        .uint32(number << 3)
        .uint64(random.pick([0, 1, 2 ** 31, 2 ** 32, 2 ** 53, -1, random.below(1000)] as const));
      break;
    case 1:
      writer.uint32((number << 3) | 5).fixed32(random.below(2 ** 32));
      break;
    case 2:
      writer.uint32((number << 3) | 1).fixed64(random.below(2 ** 32));
      break;
    default:
      writer.uint32((number << 3) | 2).bytes(random.bytes(random.below(40)));
  }
  return Buffer.from(writer.finish());
}

/** undefined when it is no message */
function fieldsOf(bytes: Buffer): Field[] | undefined {
  const reader = Reader.create(bytes);
  const fields: Field[] = [];
  try {
    while (reader.pos < reader.len) {
      const from = reader.pos;
      reader.skipType(reader.uint32() & 7);
      fields.push(bytes.subarray(from, reader.pos));
    }
  } catch {
    return undefined;
  }
  return fields;
}
