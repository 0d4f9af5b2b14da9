/** Takes the stream of a difference in (difference-format.ts). */
import type { ChildProcess } from "node:child_process";
import { lstat, rm } from "node:fs/promises";
import { join } from "node:path";
import { AgentError } from "../errors.js";
import { type DifferenceHeader, differenceHeader, LENGTH_BYTES, MAX_HEADER } from "./difference-format.js";
import { PatchTaker } from "./patch-taker.js";
import { ended, tar } from "./tar.js";

/** What comes next. */
type State =
  | { readonly kind: "header"; readonly buffered: Buffer }
  | { readonly kind: "patches"; readonly taker: PatchTaker }
  | { readonly kind: "archive" };

/** Takes one difference in, piece by piece. */
export class Unpacker {
  private state: State = { kind: "header", buffered: Buffer.alloc(0) };
  private received = 0;
  private child: ChildProcess | undefined;
  private end: ReturnType<typeof ended> | undefined;

  /** @param limit bytes of the whole difference */
  constructor(
    private readonly merged: string,
    private readonly limit: number,
  ) {}

  /** @throws AgentError ROOTFS, PROTOCOL, REFUSED */
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
    for (let rest: Uint8Array | undefined = data; rest !== undefined && rest.length > 0; )
      rest = await this.step(rest);
  }

  /** @throws AgentError ROOTFS, PROTOCOL */
  async finish(timeoutMs: number): Promise<void> {
    if (this.state.kind !== "archive")
      throw new AgentError("PROTOCOL", "the writable layer's difference ended early");
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
    if (this.state.kind === "patches") void this.state.taker.close().catch(() => undefined);
  }

  /** @returns what is left of the bytes for the next state */
  private async step(data: Uint8Array): Promise<Uint8Array | undefined> {
    const { state } = this;
    switch (state.kind) {
      case "header":
        return this.takeHeader(Buffer.concat([state.buffered, data]));
      case "patches": {
        const rest = await state.taker.add(data);
        if (rest !== undefined) this.state = { kind: "archive" };
        return rest;
      }
      case "archive":
        await this.write(data);
        return undefined;
    }
  }

  private async takeHeader(buffered: Buffer): Promise<Uint8Array | undefined> {
    this.state = { kind: "header", buffered };
    if (buffered.length < LENGTH_BYTES) return undefined;
    const end = LENGTH_BYTES + buffered.readUInt32BE(0);
    if (end > LENGTH_BYTES + MAX_HEADER)
      throw new AgentError("PROTOCOL", "the list of removed files is too long");
    if (buffered.length < end) return undefined;
    const { removed, patches } = parseHeader(buffered.toString("utf8", LENGTH_BYTES, end));
    await this.remove(removed);
    this.state = patches ? { kind: "patches", taker: new PatchTaker(this.merged) } : { kind: "archive" };
    return buffered.subarray(end);
  }

  private async remove(paths: readonly string[]): Promise<void> {
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

function parseHeader(json: string): DifferenceHeader {
  try {
    return differenceHeader.parse(JSON.parse(json));
  } catch (error) {
    throw new AgentError("PROTOCOL", "the list of removed files is malformed", { cause: error });
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
