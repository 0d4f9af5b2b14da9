/** The two messages of ttrpc itself: what a request frame and a response frame hold (protobuf). */
import protobuf from "protobufjs/minimal.js";
import { Code } from "./errors.js";

const { Reader, Writer } = protobuf;

export type Metadata = ReadonlyMap<string, readonly string[]>;

export interface Request {
  readonly service: string;
  readonly method: string;
  readonly payload: Uint8Array;
  /** time allowed for the call, in ns; 0: no limit */
  readonly timeoutNano: number;
  readonly metadata: Metadata;
}

export interface Response {
  readonly code: Code;
  readonly message: string;
  readonly payload: Uint8Array;
}

const EMPTY = new Uint8Array(0);

// Protobuf tags: field number << 3 | wire type (0 varint, 2 length delimited).
const bytesTag = (field: number) => (field << 3) | 2;
const varintTag = (field: number) => field << 3;

export function encodeRequest(request: Request): Uint8Array {
  const writer = Writer.create();
  writer.uint32(bytesTag(1)).string(request.service);
  writer.uint32(bytesTag(2)).string(request.method);
  if (request.payload.length > 0) writer.uint32(bytesTag(3)).bytes(request.payload);
  if (request.timeoutNano > 0) writer.uint32(varintTag(4)).int64(request.timeoutNano);
  for (const [key, values] of request.metadata) {
    for (const value of values) {
      writer.uint32(bytesTag(5)).fork();
      writer.uint32(bytesTag(1)).string(key).uint32(bytesTag(2)).string(value).ldelim();
    }
  }
  return writer.finish();
}

/** @throws Error if the bytes are no such message */
export function decodeRequest(bytes: Uint8Array): Request {
  const reader = Reader.create(bytes);
  let service = "";
  let method = "";
  let payload: Uint8Array = EMPTY;
  let timeoutNano = 0;
  const metadata = new Map<string, string[]>();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === bytesTag(1)) service = reader.string();
    else if (tag === bytesTag(2)) method = reader.string();
    else if (tag === bytesTag(3)) payload = reader.bytes();
    else if (tag === varintTag(4)) timeoutNano = Number(reader.int64());
    else if (tag === bytesTag(5)) addPair(metadata, reader.bytes());
    else reader.skipType(tag & 7);
  }
  return { service, method, payload, timeoutNano, metadata };
}

function addPair(metadata: Map<string, string[]>, bytes: Uint8Array): void {
  const [key, value] = decodeStrings(bytes);
  const lower = (key ?? "").toLowerCase();
  const known = metadata.get(lower);
  if (known === undefined) metadata.set(lower, [value ?? ""]);
  else known.push(value ?? "");
}

/** Fields 1 and 2 of a message, both strings. */
function decodeStrings(bytes: Uint8Array): [string?, string?] {
  const reader = Reader.create(bytes);
  const found: [string?, string?] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === bytesTag(1)) found[0] = reader.string();
    else if (tag === bytesTag(2)) found[1] = reader.string();
    else reader.skipType(tag & 7);
  }
  return found;
}

export function encodeResponse(response: Response): Uint8Array {
  const writer = Writer.create();
  if (response.code !== Code.OK) {
    writer.uint32(bytesTag(1)).fork();
    writer.uint32(varintTag(1)).int32(response.code).uint32(bytesTag(2)).string(response.message).ldelim();
  }
  if (response.payload.length > 0) writer.uint32(bytesTag(2)).bytes(response.payload);
  return writer.finish();
}

/** @throws Error if the bytes are no such message */
export function decodeResponse(bytes: Uint8Array): Response {
  const reader = Reader.create(bytes);
  let status: { code: Code; message: string } = { code: Code.OK, message: "" };
  let payload: Uint8Array = EMPTY;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === bytesTag(1)) status = decodeStatus(reader.bytes());
    else if (tag === bytesTag(2)) payload = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return { ...status, payload };
}

function decodeStatus(bytes: Uint8Array): { code: Code; message: string } {
  const reader = Reader.create(bytes);
  let code: Code = Code.OK;
  let message = "";
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === varintTag(1)) code = reader.int32();
    else if (tag === bytesTag(2)) message = reader.string();
    else reader.skipType(tag & 7);
  }
  return { code, message };
}
