/** The frame decoder: the same frames however the bytes are cut. */
import assert from "node:assert/strict";
import { encodeFrame, type Frame, FrameDecoder, type OversizedFrame } from "#ttrpc";
import { decodeRequest, decodeResponse } from "../../../shim/ttrpc/wire.js";
import { mutateFrames } from "../mutate-frames.js";
import { pieces } from "../pieces.js";
import { Random } from "../random.js";
import type { Target } from "../target.js";
import { conversation } from "./ttrpc-service.js";

/** so that oversized frames come up */
const SMALL_LIMIT = 300;

export const frames: Target = {
  name: "frames",
  seeds: [conversation(), encodeFrame(1, 2, 0, Buffer.from("0a0608051202686912020801", "hex"))],
  mutate: mutateFrames,
  covers: ["/shim/ttrpc/", "/protobufjs/"],
  run(input) {
    const random = Random.of(input);
    for (const limit of [SMALL_LIMIT, undefined]) {
      const whole = decode([input], limit);
      const cut = decode(pieces(random, input), limit);
      assert.equal(cut.length, whole.length);
      cut.forEach((frame, i) => {
        assert.ok(same(frame, whole[i]), `frame ${i} differs`);
      });
      for (const frame of whole) if (frame.kind === "frame") decodeMessages(frame.payload);
    }
  },
};

type Either = Frame | OversizedFrame;

function same(one: Either, other: Either | undefined): boolean {
  if (one.stream !== other?.stream || one.type !== other.type) return false;
  if (one.kind === "oversized") return other.kind === "oversized" && one.length === other.length;
  return (
    other.kind === "frame" && one.flags === other.flags && Buffer.compare(one.payload, other.payload) === 0
  );
}

function decode(parts: readonly Buffer[], limit: number | undefined): Either[] {
  const decoder = new FrameDecoder(limit);
  return parts.flatMap((part) => [...decoder.push(part)]);
}

/** Damaged messages are refused by an error; nothing else may come of them. */
function decodeMessages(bytes: Uint8Array): void {
  for (const read of [decodeRequest, decodeResponse]) {
    try {
      read(bytes);
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  }
}
