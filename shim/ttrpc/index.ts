/** ttrpc for Node: gRPC's little sibling over unix sockets, as containerd and its shims speak it. */
export { type CallOptions, Client, type ClientOptions, type ServiceClient } from "./client.js";
export type { ClientStream } from "./client-stream.js";
export { Code, type StatusDetail, TtrpcError } from "./errors.js";
export {
  encodeFrame,
  Flag,
  type Frame,
  FrameDecoder,
  FrameType,
  MAX_PAYLOAD_BYTES,
  type OversizedFrame,
} from "./frame.js";
export { Server, type ServerOptions } from "./server.js";
export {
  type CallContext,
  type Connection,
  type Decoded,
  type Encodable,
  type MessageType,
  type Method,
  type MethodShape,
  type Methods,
  type ServerStream,
  type StreamMethod,
  streaming,
  type UnaryMethod,
  unary,
} from "./service.js";
export {
  type ByteSocket,
  type ListenAddress,
  type Listener,
  type Transport,
  useTransport,
} from "./transport.js";
export type { Metadata } from "./wire.js";
