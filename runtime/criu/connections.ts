/** The TCP connections in an image: CRIU's `files.img`, a message for each open file. */
import protobuf from "protobufjs/minimal.js";

/** Ends as `ss` writes them: "10.0.0.1:6379", "[fd00::1]:6379". */
export interface Connection {
  readonly local: string;
  readonly remote: string;
}

/** The two words that such an image begins with. */
const COMMON_MAGIC = 0x54564319;
const FILES_MAGIC = 0x56303138;
/** Of a file_entry. */
const INET_SOCKET = 4;
/** Of an inet_sk_entry. */
const FAMILY = 3;
const PROTOCOL = 5;
const LOCAL_PORT = 7;
const REMOTE_PORT = 8;
const LOCAL_ADDRESS = 11;
const REMOTE_ADDRESS = 12;

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_TCP = 6;
const BYTES = 2;

/** @returns none for what is no such image: whoever restores it says what is wrong */
export function connectionsIn(files: Uint8Array): Connection[] {
  const found: Connection[] = [];
  try {
    for (const entry of entriesOf(files)) {
      const connection = connectionOf(entry);
      if (connection) found.push(connection);
    }
  } catch {
    return [];
  }
  return found;
}

function* entriesOf(files: Uint8Array): Generator<Uint8Array> {
  const view = new DataView(files.buffer, files.byteOffset, files.byteLength);
  if (files.length < 8 || view.getUint32(0, true) !== COMMON_MAGIC) return;
  if (view.getUint32(4, true) !== FILES_MAGIC) return;
  for (let at = 8; at + 4 <= files.length; ) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size > files.length - at) return;
    yield files.subarray(at, at + size);
    at += size;
  }
}

function connectionOf(entry: Uint8Array): Connection | undefined {
  const reader = protobuf.Reader.create(entry);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 === INET_SOCKET && (tag & 7) === BYTES) return connectionOfSocket(reader.bytes());
    reader.skipType(tag & 7);
  }
  return undefined;
}

function connectionOfSocket(socket: Uint8Array): Connection | undefined {
  const reader = protobuf.Reader.create(socket);
  const numbers = new Map<number, number[]>();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const field = tag >>> 3;
    const values = numbers.get(field) ?? [];
    numbers.set(field, values);
    if ((tag & 7) === 0) values.push(reader.uint32());
    else if ((tag & 7) === BYTES && field >= LOCAL_ADDRESS && field <= REMOTE_ADDRESS)
      for (const end = reader.uint32() + reader.pos; reader.pos < end; ) values.push(reader.uint32());
    else reader.skipType(tag & 7);
  }
  const [family] = numbers.get(FAMILY) ?? [];
  if (numbers.get(PROTOCOL)?.[0] !== IPPROTO_TCP || !numbers.get(REMOTE_PORT)?.[0]) return undefined;
  const local = endOf(family, numbers.get(LOCAL_ADDRESS), numbers.get(LOCAL_PORT));
  const remote = endOf(family, numbers.get(REMOTE_ADDRESS), numbers.get(REMOTE_PORT));
  return local && remote ? { local, remote } : undefined;
}

/** Addresses are words as they lie in memory. */
function endOf(family: number | undefined, words: number[] = [], [port]: number[] = []): string | undefined {
  const bytes = words.flatMap((word) => [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24]);
  if (port === undefined || port > 0xffff) return undefined;
  if (family === AF_INET && bytes.length === 4) return `${bytes.join(".")}:${port}`;
  if (family !== AF_INET6 || bytes.length !== 16) return undefined;
  const groups = [];
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  return `[${groups.join(":")}]:${port}`;
}
