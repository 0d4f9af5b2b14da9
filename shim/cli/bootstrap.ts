/** What containerd writes to the standard input of `start`, and how it wants the answer. */
import { fstatSync, readSync } from "node:fs";
import { containerd, google } from "#protos/bootstrap";
import { type Any, bytesOf, typeNameOf } from "../wire.js";
import type { Flags } from "./flags.js";

const { BootstrapParams, BootstrapResult } = containerd.runtime.bootstrap.v1;
const { Options } = containerd.runc.v1;
const RUNC_OPTIONS = "containerd.runc.v1.Options";

/** More than any options have. */
const MAX_INPUT = 4 * 1024 * 1024;
const CHUNK = 16 * 1024;
const DEBUG_LEVEL = -4;

export interface Bootstrap {
  /** Every containerd reads a bare address; those that send parameters want the message, and speak version 3. */
  readonly answer: "address" | "message";
  readonly shimCgroup: string;
  readonly debug: boolean;
  /** Where sockets go; undefined: the default. */
  readonly socketDir: string | undefined;
}

/** Standard input to its end; nothing when it is a terminal or a device. The launcher bounds the wait for its end. */
export function readInput(): Uint8Array {
  const chunks: Buffer[] = [];
  if (fstatSync(0).isCharacterDevice()) return new Uint8Array();
  for (let size = 0; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK);
    const got = readSync(0, chunk);
    if (got === 0) return Buffer.concat(chunks);
    size += got;
    if (size > MAX_INPUT) throw new Error(`standard input is longer than ${MAX_INPUT} bytes`);
    chunks.push(chunk.subarray(0, got));
  }
}

/**
 * Newer containerd sends BootstrapParams, older ones the bare runtime options. Both are protobuf: it is the former
 * only if it carries our own id and namespace.
 */
export function parseBootstrap(input: Uint8Array, flags: Flags): Bootstrap {
  const params = tryDecode(() => BootstrapParams.decode(input));
  if (input.length > 0 && params?.instanceId === flags.id && params.namespace === flags.namespace) {
    const options = params.extensions
      .map(({ value }) => value)
      .find((value) => value && isRuncOptions(value));
    return {
      answer: "message",
      shimCgroup: shimCgroupOf(options),
      debug: flags.debug || params.logLevel <= DEBUG_LEVEL,
      socketDir: params.socketDir || undefined,
    };
  }
  const any = input.length > 0 ? tryDecode(() => google.protobuf.Any.decode(input)) : undefined;
  return {
    answer: "address",
    shimCgroup: shimCgroupOf(any && isRuncOptions(any) ? any : undefined),
    debug: flags.debug,
    socketDir: undefined,
  };
}

/** What `start` prints. */
export function answerOf(bootstrap: Bootstrap, address: string): string | Uint8Array {
  if (bootstrap.answer === "address") return address;
  return BootstrapResult.encode({ version: 3, address, protocol: "ttrpc" }).finish();
}

function isRuncOptions(any: Any): boolean {
  return typeNameOf(any) === RUNC_OPTIONS;
}

function shimCgroupOf(any: Any | undefined | null): string {
  if (!any) return "";
  return tryDecode(() => Options.decode(bytesOf(any)))?.shimCgroup ?? "";
}

function tryDecode<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
