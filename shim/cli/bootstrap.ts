/** What containerd writes to the standard input of `start`. */
import { fstatSync } from "node:fs";
import { containerd, google } from "#protos/shim";
import { type Any, bytesOf, typeNameOf } from "../wire.js";
import type { Flags } from "./flags.js";

const { BootstrapParams } = containerd.runtime.bootstrap.v1;
const { Options } = containerd.runc.v1;
const RUNC_OPTIONS = "containerd.runc.v1.Options";

/** More than any options have. */
const MAX_INPUT = 4 * 1024 * 1024;
const INPUT_MS = 5000;
const DEBUG_LEVEL = -4;

export interface Bootstrap {
  readonly shimCgroup: string;
  readonly debug: boolean;
  /** Where sockets go; undefined: the default. */
  readonly socketDir: string | undefined;
}

/** Standard input to its end; nothing when it is a terminal or a device. */
export async function readInput(): Promise<Uint8Array> {
  const kind = fstatSync(0);
  if (kind.isCharacterDevice()) return new Uint8Array();
  const chunks: Buffer[] = [];
  let size = 0;
  const timer = setTimeout(() => process.stdin.destroy(new Error("standard input does not end")), INPUT_MS);
  try {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_INPUT) throw new Error("standard input is too long");
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks);
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
      shimCgroup: shimCgroupOf(options),
      debug: flags.debug || params.logLevel <= DEBUG_LEVEL,
      socketDir: params.socketDir || undefined,
    };
  }
  const any = input.length > 0 ? tryDecode(() => google.protobuf.Any.decode(input)) : undefined;
  return {
    shimCgroup: shimCgroupOf(any && isRuncOptions(any) ? any : undefined),
    debug: flags.debug,
    socketDir: undefined,
  };
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
