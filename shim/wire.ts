/** Small conversions between our values and containerd's messages. */
import type { containerd, google } from "#protos/shim";

export type Any = google.protobuf.Any.$Properties;
export type Mount = containerd.types.Mount.$Properties;

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}

/** @param typeUrl the bare name of the message, as containerd registers it */
export function anyOf<T>(typeUrl: string, type: Encoder<T>, message: T): Any {
  return { type_url: typeUrl, value: type.encode(message).finish() };
}

/** @param ms unix time in milliseconds */
export function timestampOf(ms: number): google.protobuf.Timestamp.$Properties {
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

/** The message name of an Any, with or without a prefix such as "type.googleapis.com/". */
export function typeNameOf(any: Any): string {
  const url = any.type_url ?? "";
  return url.startsWith("types.containerd.io/") ? url : url.slice(url.lastIndexOf("/") + 1);
}

export function bytesOf(any: Any): Uint8Array {
  return any.value ?? new Uint8Array();
}
