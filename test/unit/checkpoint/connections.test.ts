import assert from "node:assert/strict";
import protobuf from "protobufjs/minimal.js";
import { connectionsIn } from "../../../runtime/criu/connections.js";

interface Socket {
  readonly family: number;
  readonly ports: readonly [number, number];
  readonly addresses: readonly [readonly number[], readonly number[]];
  readonly packed?: boolean;
  readonly protocol?: number;
}

/** A file_entry as CRIU writes it, as far as it is looked at. */
function entry({ family, ports, addresses, packed = false, protocol = 6 }: Socket): Uint8Array {
  const socket = protobuf.Writer.create();
  for (const [field, value] of [
    [1, 7],
    [3, family],
    [4, 1],
    [5, protocol],
    [7, ports[0]],
    [8, ports[1]],
  ] as const)
    socket.uint32(field << 3).uint32(value);
  for (const [i, words] of addresses.entries()) {
    const field = 11 + i;
    if (packed) socket.uint32((field << 3) | 2).fork();
    for (const word of words) (packed ? socket : socket.uint32(field << 3)).uint32(word);
    if (packed) socket.ldelim();
  }
  socket.uint32((14 << 3) | 2).bytes(Buffer.from("something else"));
  return protobuf.Writer.create()
    .uint32(1 << 3)
    .uint32(3)
    .uint32((4 << 3) | 2)
    .bytes(socket.finish())
    .finish();
}

function image(...entries: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x54564319, 0);
  head.writeUInt32LE(0x56303138, 4);
  const sized = entries.flatMap((one) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(one.length);
    return [size, one];
  });
  return Buffer.concat([head, ...sized]);
}

const word = (text: string) => Buffer.from(text.split(".").map(Number)).readUInt32LE();
const HERE = [word("10.10.4.1")];
const THERE = [word("192.168.0.200")];
const V4: Socket = { family: 2, ports: [6379, 40000], addresses: [HERE, THERE] };

describe("connections of an image", () => {
  it("are those of TCP, by both addresses", () => {
    const v6 = [word("253.0.0.0"), 0, 0, word("0.0.0.1")];
    const found = connectionsIn(
      image(
        entry(V4),
        entry({ ...V4, packed: true }),
        entry({ family: 10, ports: [80, 1], addresses: [v6, v6] }),
        entry({ ...V4, ports: [6379, 0] }), // listens
        entry({ ...V4, protocol: 17 }),
      ),
    );
    const v4 = { local: "10.10.4.1:6379", remote: "192.168.0.200:40000" };
    assert.deepEqual(found, [v4, v4, { local: "[fd00:0:0:0:0:0:0:1]:80", remote: "[fd00:0:0:0:0:0:0:1]:1" }]);
  });

  it("of something else are none, wherever it is cut off or spoilt", () => {
    const whole = image(entry(V4));
    for (let size = 0; size < whole.length; size++)
      assert.deepEqual(connectionsIn(whole.subarray(0, size)), []);
    for (let at = 0; at < whole.length; at++) {
      const spoilt = Buffer.from(whole);
      spoilt[at] = (spoilt[at] ?? 0) ^ 0xff;
      assert.ok(connectionsIn(spoilt).length <= 1);
    }
    assert.deepEqual(connectionsIn(image(entry({ ...V4, addresses: [[1, 2], THERE] }))), []);
    assert.deepEqual(connectionsIn(image(entry({ ...V4, ports: [70_000, 1] }))), []);
  });
});
