/** The two messages of ttrpc itself: what a request frame and a response frame hold (protobuf). */
import protobuf from "protobufjs/minimal.js";
import { Code, type StatusDetail } from "./errors.js";

const { Reader, Writer } = protobuf;

export type Metadata = ReadonlyMap<string, readonly string[]>;

export interface Request {
  readonly service: string;
  readonly method: string;
  readonly payload: Uint8Array;
  /** time allowed for the call, in ns; 0: no limit; below: it was over when the call was sent */
  readonly timeoutNano: number;
  readonly metadata: Metadata;
}

export interface Response {
  readonly code: Code;
  readonly message: string;
  readonly details: readonly StatusDetail[];
  readonly payload: Uint8Array;
}

/** More than any caller needs, and little memory. */
const MAX_METADATA = 1024;
/** Further ones are left out: they only explain. */
const MAX_DETAILS = 64;

const EMPTY = new Uint8Array(0);

// Protobuf tags: field number << 3 | wire type (0 varint, 2 length delimited).
const bytesTag = (field: number) => (field << 3) | 2;
const varintTag = (field: number) => field << 3;

export function encodeRequest(request: Request): Uint8Array {
  const writer = Writer.create();
  writer.uint32(bytesTag(1)).string(request.service);
  writer.uint32(bytesTag(2)).string(request.method);
  if (request.payload.length > 0) writer.uint32(bytesTag(3)).bytes(request.payload);
  if (request.timeoutNano !== 0) writer.uint32(varintTag(4)).int64(request.timeoutNano);
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
  let pairs = 0;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === bytesTag(1)) service = reader.string();
    else if (tag === bytesTag(2)) method = reader.string();
    else if (tag === bytesTag(3)) payload = reader.bytes();
    else if (tag === varintTag(4)) timeoutNano = Number(reader.int64());
    else if (tag === bytesTag(5)) {
      pairs += 1;
      if (pairs > MAX_METADATA) throw new RangeError(`more than ${MAX_METADATA} pairs of metadata`);
      addPair(metadata, decodeStrings(reader.bytes()));
    } else reader.skipType(tag & 7);
  }
  return { service, method, payload, timeoutNano, metadata };
}

function addPair(metadata: Map<string, string[]>, [key, value]: [string?, string?]): void {
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
    writer.uint32(varintTag(1)).int32(response.code).uint32(bytesTag(2)).string(response.message);
    for (const { typeUrl, value } of response.details) {
      writer.uint32(bytesTag(3)).fork();
      writer.uint32(bytesTag(1)).string(typeUrl).uint32(bytesTag(2)).bytes(value).ldelim();
    }
    writer.ldelim();
  }
  if (response.payload.length > 0) writer.uint32(bytesTag(2)).bytes(response.payload);
  return writer.finish();
}

type Status = Omit<Response, "payload">;

/** @throws Error if the bytes are no such message */
export function decodeResponse(bytes: Uint8Array): Response {
  const reader = Reader.create(bytes);
  let status: Status = { code: Code.OK, message: "", details: [] };
  let payload: Uint8Array = EMPTY;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === bytesTag(1)) status = decodeStatus(reader.bytes());
    else if (tag === bytesTag(2)) payload = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return { ...status, payload };
}

function decodeStatus(bytes: Uint8Array): Status {
  const reader = Reader.create(bytes);
  let code: Code = Code.OK;
  let message = "";
  const details: StatusDetail[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === varintTag(1)) code = reader.int32();
    else if (tag === bytesTag(2)) message = reader.string();
    else if (tag === bytesTag(3) && details.length < MAX_DETAILS) details.push(decodeDetail(reader.bytes()));
    else reader.skipType(tag & 7);
  }
  return { code, message, details };
}

function decodeDetail(bytes: Uint8Array): StatusDetail {
  const reader = Reader.create(bytes);
  let typeUrl = "";
  let value: Uint8Array = EMPTY;
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === bytesTag(1)) typeUrl = reader.string();
    else if (tag === bytesTag(2)) value = reader.bytes();
    else reader.skipType(tag & 7);
  }
  return { typeUrl, value };
}
