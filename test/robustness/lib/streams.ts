/** The client's ends of a container's streams, and what went through them. */
import { execFileSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { closeSync, constants, openSync, read, write, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { sleep } from "./wait.js";

const readFd = promisify(read);
const writeFd = promisify(write);
const CHUNK = 1 << 20;

export type Name = "stdin" | "stdout" | "stderr";

/** Makes the fifos of a container. @returns their paths */
export function fifos<N extends Name>(folder: string, id: string, ...names: N[]): Record<N, string> {
  const paths = names.map((name) => [name, join(folder, `${id}-${name}`)] as const);
  execFileSync("mkfifo", [...paths.map(([, path]) => path)]);
  return Object.fromEntries(paths) as Record<N, string>;
}

/** A file of random bytes that a container repeats, and the digest of its repetition. */
export function pattern(path: string, bytes: number, times: number): { bytes: number; digest: string } {
  const data = randomBytes(bytes);
  writeFileSync(path, data);
  const hash = createHash("md5");
  for (let i = 0; i < times; i++) hash.update(data);
  return { bytes: bytes * times, digest: hash.digest("hex") };
}

/**
 * Opened without waiting for the other end, then read until all writers have gone: begin to read only when the container
 * runs, a fifo that nobody has opened for writing looks like one at its end.
 */
export class Reader {
  readonly #path: string;
  readonly #hash = createHash("md5");
  readonly #buffer = Buffer.alloc(CHUNK);
  readonly #keepText: boolean;
  #fd: number;
  bytes = 0;
  text = "";

  constructor(path: string, keepText = false) {
    this.#path = path;
    this.#fd = this.#open();
    this.#keepText = keepText;
  }

  /** @returns bytes read; 0 at the end */
  async read(most = CHUNK): Promise<number> {
    const { bytesRead } = await readFd(this.#fd, this.#buffer, 0, most, null);
    const chunk = this.#buffer.subarray(0, bytesRead);
    this.#hash.update(chunk);
    if (this.#keepText) this.text += chunk.toString("latin1");
    this.bytes += bytesRead;
    return bytesRead;
  }

  /** @param rate bytes/s at most */
  async readAll(rate = Number.POSITIVE_INFINITY): Promise<this> {
    const begun = performance.now();
    const first = this.bytes;
    while ((await this.read()) > 0) {
      const due = ((this.bytes - first) / rate) * 1000 - (performance.now() - begun);
      if (due > 1) await sleep(due);
    }
    this.close();
    return this;
  }

  /** As the client's restart does it: away for a while. */
  async leave(ms: number): Promise<void> {
    closeSync(this.#fd);
    await sleep(ms);
    this.#fd = this.#open();
  }

  digest(): string {
    return this.#hash.digest("hex");
  }

  close(): void {
    closeSync(this.#fd);
  }

  #open(): number {
    const probe = openSync(this.#path, constants.O_RDWR | constants.O_NONBLOCK);
    // With a writer there (the probe) this does not wait.
    const fd = openSync(this.#path, constants.O_RDONLY);
    closeSync(probe);
    return fd;
  }
}

/** Writes to a container's standard input; the open waits for the shim. */
export class Writer {
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, constants.O_WRONLY);
  }

  async write(data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length; )
      done += (await writeFd(this.#fd, data, done, data.length - done, null)).bytesWritten;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
