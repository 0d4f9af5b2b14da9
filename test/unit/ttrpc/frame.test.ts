import assert from "node:assert/strict";
import { Code, encodeFrame, type Frame, FrameDecoder, MAX_PAYLOAD_BYTES, type OversizedFrame } from "#ttrpc";

function all(decoder: FrameDecoder, chunks: Buffer[]): (Frame | OversizedFrame)[] {
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
}

describe("ttrpc frames", () => {
  it("lays out the header as the protocol says", () => {
    const bytes = encodeFrame(0x01020304, 2, 5, Buffer.from("abc"));
    assert.equal(bytes.toString("hex"), `00000003${"01020304"}0205${"616263"}`);
  });

  it("refuses to encode what is too long", () => {
    assert.throws(() => encodeFrame(1, 1, 0, Buffer.alloc(MAX_PAYLOAD_BYTES + 1)), {
      code: Code.RESOURCE_EXHAUSTED,
    });
  });

  it("decodes the same frames however the bytes are cut", () => {
    const payloads = [0, 1, 10, 300, 70_000].map((size, i) => Buffer.alloc(size, i + 1));
    const bytes = Buffer.concat(payloads.map((payload, i) => encodeFrame(2 * i + 1, 1, i, payload)));
    for (const step of [1, 3, 9, 10, 11, 64, 1000, bytes.length]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += step) chunks.push(bytes.subarray(at, at + step));
      const frames = all(new FrameDecoder(), chunks);
      assert.equal(frames.length, payloads.length);
      frames.forEach((frame, i) => {
        assert.ok(frame.kind === "frame" && frame.stream === 2 * i + 1 && frame.flags === i);
        assert.ok(payloads[i]?.equals(frame.payload));
      });
    }
  });

  it("skips a payload that is too long and goes on", () => {
    const long = Buffer.alloc(10);
    long.writeUInt32BE(100, 0);
    long.writeUInt32BE(7, 4);
    long.writeUInt8(1, 8);
    const bytes = Buffer.concat([long, Buffer.alloc(100, 0xff), encodeFrame(9, 1, 0, Buffer.from("ok"))]);
    for (const step of [1, 7, 50, 200]) {
      const chunks: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += step) chunks.push(bytes.subarray(at, at + step));
      const frames = all(new FrameDecoder(50), chunks);
      assert.deepEqual(frames[0], { kind: "oversized", stream: 7, type: 1, length: 100 });
      assert.ok(frames[1]?.kind === "frame" && Buffer.from(frames[1].payload).toString() === "ok");
      assert.equal(frames.length, 2);
    }
  });
});
