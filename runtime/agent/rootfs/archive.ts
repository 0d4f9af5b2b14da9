/**
 * The differences of a writable layer as a stream: a length (4 bytes, big-endian), that many bytes of JSON with the paths to
 * remove, then a tar archive (by the system's tar, with extended attributes) of what to make.
 *
 * tar runs on a bind mount that follows no symbolic link: the container may swap a folder for a link while tar reads,
 * and must not lead it out of its root.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { AgentError } from "../errors.js";
import type { Difference } from "./scan.js";

const MAX_HEADER = 64 * 1024 * 1024;
/** Bytes in one message. */
const PIECE = 256 * 1024;

const relativePath = z
  .string()
  .min(1)
  .max(4096)
  .refine(
    (path) =>
      !path.includes("\0") && path.split("/").every((part) => part !== "" && part !== "." && part !== ".."),
  );
const header = z.object({ removed: z.array(relativePath) });

/** In a mount namespace of its own: `$1` bound over itself without following links, then tar with the rest. */
const ISOLATED =
  'root=$1; shift; mount --bind "$root" "$root" && mount -o remount,bind,nosymfollow "$root" && cd "$root" && exec tar "$@"';
/** tar's "some files changed while being read": the next difference has them again. */
const TAR_CHANGED = 1;

function tar(root: string, args: readonly string[]): ChildProcess {
  return spawn(
    "unshare",
    ["--mount", "--propagation", "private", "sh", "-c", ISOLATED, "sh", root, ...args],
    {
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
}

/** Resolves with tar's end. */
function ended(child: ChildProcess): Promise<{ status: number | null; stderr: string }> {
  let stderr = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-4096);
  });
  return new Promise((resolve) => {
    child.once("error", (error) => resolve({ status: null, stderr: error.message }));
    child.once("close", (status) => resolve({ status, stderr }));
  });
}

/** Yields the stream of a difference in bounded pieces. @throws AgentError ROOTFS */
export async function* pack(merged: string, difference: Difference): AsyncGenerator<Uint8Array> {
  const json = Buffer.from(JSON.stringify({ removed: difference.removed }));
  if (json.length > MAX_HEADER) throw new AgentError("ROOTFS", "the container has deleted too many files");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  yield* inPieces(Buffer.concat([length, json]));
  if (difference.changed.length === 0) return;
  const options = ["--create", "--file=-", "--format=posix", "--numeric-owner", "--sparse", "--no-recursion"];
  const child = tar(merged, [
    ...options,
    "--xattrs",
    "--xattrs-include=*",
    "--null",
    "--verbatim-files-from",
    "--files-from=-",
  ]);
  const end = ended(child);
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(difference.changed.map((path) => `./${path}\0`).join(""));
  let complete = false;
  try {
    if (child.stdout) for await (const data of child.stdout) yield* inPieces(data as Buffer);
    complete = true;
  } finally {
    // Only when the reader has gone: a tar that has said everything may still be about to exit.
    if (!complete) child.kill("SIGKILL");
  }
  const { status, stderr } = await end;
  // What vanishes or becomes a link while the container runs is no error: the next difference says so.
  const harmless = /No such file|Too many levels of symbolic links|Exiting with failure|^$/;
  const vanished = status === 2 && stderr.split("\n").every((line) => harmless.test(line));
  if (status !== 0 && status !== TAR_CHANGED && !vanished) {
    throw new AgentError("ROOTFS", `tar could not read the writable layer: ${stderr.trim()}`);
  }
}

function* inPieces(data: Buffer): Generator<Uint8Array> {
  for (let at = 0; at < data.length; at += PIECE) yield data.subarray(at, at + PIECE);
}

/** Takes one difference in, piece by piece. */
export class Unpacker {
  private buffered = Buffer.alloc(0);
  private received = 0;
  private child: ChildProcess | undefined;
  private end: Promise<{ status: number | null; stderr: string }> | undefined;
  private headerDone = false;

  /** @param limit bytes of the whole difference */
  constructor(
    private readonly merged: string,
    private readonly limit: number,
  ) {}

  /** @throws AgentError ROOTFS, PROTOCOL */
  async add(data: Uint8Array): Promise<void> {
    this.received += data.length;
    if (this.received > this.limit) {
      throw new AgentError(
        "REFUSED",
        `the writable layer's differences are larger than ${this.limit} bytes`,
        {
          remedy: "raise limits.rootfs at the destination",
        },
      );
    }
    if (this.headerDone) return this.write(data);
    this.buffered = Buffer.concat([this.buffered, data]);
    if (this.buffered.length < 4) return;
    const length = this.buffered.readUInt32BE(0);
    if (length > MAX_HEADER) throw new AgentError("PROTOCOL", "the list of removed files is too long");
    if (this.buffered.length < 4 + length) return;
    const rest = this.buffered.subarray(4 + length);
    await this.remove(this.buffered.subarray(4, 4 + length).toString("utf8"));
    this.headerDone = true;
    this.buffered = Buffer.alloc(0);
    if (rest.length > 0) await this.write(rest);
  }

  /** @throws AgentError ROOTFS, PROTOCOL */
  async finish(timeoutMs: number): Promise<void> {
    if (!this.headerDone) throw new AgentError("PROTOCOL", "the writable layer's difference ended early");
    if (this.child === undefined || this.end === undefined) return;
    this.child.stdin?.end();
    const timer = setTimeout(() => this.child?.kill("SIGKILL"), timeoutMs);
    const { status, stderr } = await this.end;
    clearTimeout(timer);
    if (status !== 0)
      throw new AgentError("ROOTFS", `tar could not write the writable layer: ${stderr.trim() || status}`);
  }

  abort(): void {
    this.child?.kill("SIGKILL");
  }

  private async remove(json: string): Promise<void> {
    let paths: readonly string[];
    try {
      paths = header.parse(JSON.parse(json)).removed;
    } catch (error) {
      throw new AgentError("PROTOCOL", "the list of removed files is malformed", { cause: error });
    }
    for (const path of paths) {
      if (await parentsAreFolders(this.merged, path))
        await rm(join(this.merged, path), { recursive: true, force: true });
    }
  }

  private async write(data: Uint8Array): Promise<void> {
    if (this.child === undefined) {
      const options = [
        "--extract",
        "--file=-",
        "--preserve-permissions",
        "--same-owner",
        "--numeric-owner",
        "--overwrite",
      ];
      this.child = tar(this.merged, [
        ...options,
        "--delay-directory-restore",
        "--xattrs",
        "--xattrs-include=*",
      ]);
      this.child.stdout?.resume();
      this.child.stdin?.on("error", () => undefined);
      this.end = ended(this.child);
    }
    const { stdin } = this.child;
    if (stdin === null || stdin.destroyed || stdin.write(data)) return;
    await Promise.race([new Promise((resolve) => stdin.once("drain", resolve)), this.end]);
  }
}

/** Whether a path leads through folders only: a link in it could lead out of the root. */
async function parentsAreFolders(root: string, path: string): Promise<boolean> {
  const parts = path.split("/").slice(0, -1);
  for (let i = 1; i <= parts.length; i++) {
    const stats = await lstat(join(root, ...parts.slice(0, i))).catch(() => undefined);
    if (!stats?.isDirectory()) return false;
  }
  return true;
}
