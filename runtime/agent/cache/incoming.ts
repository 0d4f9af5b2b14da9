/** The data of an image that a peer brings, as it comes: checked piece by piece, and handed on at the pace of who takes it. */
import { type FileHandle, open } from "node:fs/promises";
import type { Duplex } from "node:stream";
import type { pclive } from "#protos/agent";
import { AgentError } from "../errors.js";
import { writeMessage } from "../grpc/method.js";

/** The peer's next message. @throws AgentError when it has hung up, or takes longer */
export type Next = (timeoutMs: number) => Promise<pclive.peer.v1.ToCache>;

export const STALL_MS = 60_000;
/** Asked for so much at a time. */
const ROOM = 64 * 1024 * 1024;
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

type Piece =
  | { readonly kind: "files"; readonly bytes: Uint8Array }
  | { readonly kind: "archive"; readonly bytes: Uint8Array }
  | { readonly kind: "end" };

/** First the files of the writable layer, then the archive. */
export class Incoming {
  #left: number;
  /** What came after the last of the files. */
  #piece: Piece = { kind: "end" };

  /**
   * @param announced bytes that the archive may have
   * @param needed called with the bytes that the files need at least @throws AgentError when there is no room
   */
  constructor(
    private readonly next: Next,
    announced: number,
    private readonly needed: (files: number) => Promise<void>,
  ) {
    this.#left = announced;
  }

  /** @returns their bytes */
  async files(path: string, limit: number): Promise<number> {
    const file = await open(path, "wx", 0o600);
    let bytes = 0;
    let room = 0;
    try {
      for (this.#piece = await this.#take(); this.#piece.kind === "files"; this.#piece = await this.#take()) {
        bytes += this.#piece.bytes.length;
        if (bytes > limit) {
          throw new AgentError("REFUSED", `the writable layer is larger than ${limit} bytes`, {
            remedy: "raise limits.rootfs there",
          });
        }
        if (bytes > room) {
          room = bytes + ROOM;
          await this.needed(room);
        }
        await writeAll(file, this.#piece.bytes);
      }
      await file.sync();
      return bytes;
    } finally {
      await file.close();
    }
  }

  /** Hands everything that follows to the engine. */
  async archive(engine: Duplex): Promise<void> {
    // Compressed, its size would not be bounded by what comes.
    if (this.#piece.kind === "archive" && ZSTD.equals(this.#piece.bytes.subarray(0, ZSTD.length)))
      throw new AgentError("PROTOCOL", "the image is compressed");
    for (; this.#piece.kind === "archive"; this.#piece = await this.#take()) {
      this.#left -= this.#piece.bytes.length;
      if (this.#left < 0) throw new AgentError("PROTOCOL", "the peer sends more than it has announced");
      await writeMessage(engine, this.#piece.bytes, STALL_MS);
    }
    if (this.#piece.kind !== "end") throw new AgentError("PROTOCOL", "the peer mixes up files and image");
    engine.end();
  }

  async #take(): Promise<Piece> {
    const { data } = await this.next(STALL_MS);
    if (!data) throw new AgentError("PROTOCOL", "the peer sends something else than the image's data");
    if (data.end) return { kind: "end" };
    const bytes = data.files ?? data.archive ?? new Uint8Array();
    return { kind: data.data === "files" ? "files" : "archive", bytes };
  }
}

async function writeAll(file: FileHandle, data: Uint8Array): Promise<void> {
  for (let at = 0; at < data.length; ) at += (await file.write(data, at)).bytesWritten;
}
