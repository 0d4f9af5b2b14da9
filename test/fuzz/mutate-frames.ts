/** Changes to a stream of ttrpc frames that leave it one, mostly. */
import { encodeFrame, type Frame, FrameDecoder, MAX_PAYLOAD_BYTES } from "#ttrpc";
import { MAX_INPUT, mutateBytes } from "./mutate-bytes.js";
import { mutateProtobuf } from "./mutate-protobuf.js";
import type { Random } from "./random.js";

const STREAMS = [0, 1, 2, 3, 5, 7, 9, 11, 99, 2 ** 31 - 1, 2 ** 32 - 1] as const;

export function mutateFrames(random: Random, bytes: Buffer): Buffer {
  const frames = [...new FrameDecoder().push(bytes)].filter((frame) => frame.kind === "frame");
  if (frames.length === 0 || random.oneIn(6)) return mutateBytes(random, bytes);
  const at = random.below(frames.length);
  const frame = frames[at];
  if (frame === undefined) return bytes;
  switch (random.below(6)) {
    case 0:
      frames.splice(at, 1);
      break;
    case 1:
      frames.splice(at, 0, ...Array.from({ length: random.oneIn(10) ? 200 : 1 }, () => frame));
      break;
    case 2: {
      const [moved] = frames.splice(random.below(frames.length), 1);
      if (moved !== undefined) frames.splice(at, 0, moved);
      break;
    }
    case 3:
      frames[at] = changeHeader(random, frame);
      break;
    default:
      frames[at] = { ...frame, payload: mutateProtobuf(random, Buffer.from(frame.payload)) };
  }
  const changed = Buffer.concat(
    frames.map((one) => encodeFrame(one.stream, one.type, one.flags, one.payload)),
  );
  return (random.oneIn(10) ? lie(random, changed, frames) : changed).subarray(0, MAX_INPUT);
}

function changeHeader(random: Random, frame: Frame): Frame {
  switch (random.below(3)) {
    case 0:
      return { ...frame, stream: random.oneIn(2) ? random.pick(STREAMS) : (frame.stream + 2) % 2 ** 32 };
    case 1:
      return { ...frame, type: random.oneIn(4) ? random.below(256) : 1 + random.below(3) };
    default:
      return { ...frame, flags: random.oneIn(4) ? random.below(256) : random.below(8) };
  }
}

/** Announces another length than follows, for the last frame. */
function lie(random: Random, bytes: Buffer, frames: readonly Frame[]): Buffer {
  const last = frames.at(-1);
  if (last === undefined) return bytes;
  const length = random.pick([
    0,
    1,
    last.payload.length + 1,
    MAX_PAYLOAD_BYTES,
    MAX_PAYLOAD_BYTES + 1,
    2 ** 32 - 1,
  ] as const);
  bytes.writeUInt32BE(length, bytes.length - last.payload.length - 10);
  return bytes;
}
