/**
 * What the destination is told about a container before anything moves: `Open.manifest_json`.
 *
 * It comes from another host, so every field has a bound and a form; what does not fit is refused.
 */
import { z } from "zod";
import { AgentError } from "./errors.js";
import { descriptor } from "./image/oci.js";

/** Bytes of the JSON text. */
export const MAX_MANIFEST = 2 * 1024 * 1024;

/** containerd's own rule for names of containers, snapshots and namespaces. */
export const identifier = z
  .string()
  .regex(/^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/)
  .max(76);
export const migrationId = z.string().regex(/^[0-9a-f]{32}$/);
export const strategyName = z.enum(["pipelined", "precopy", "stop-and-copy"]);
export type Strategy = z.infer<typeof strategyName>;

/** A protobuf Any: its type and its bytes in base64. */
const any = z.object({ typeUrl: z.string().max(1024), value: z.base64().max(1024 * 1024) });
const text = z.string().max(4096);
const absolutePath = z
  .string()
  .startsWith("/")
  .max(4096)
  .refine((path) => !path.includes("\0"), "has a NUL");
const bytes = z.int().min(0);

const interfaceName = z
  .string()
  .regex(/^[^\s/:]{1,15}$/)
  .refine((name) => name !== "." && name !== "..", "is no name");
const prefixed = z.string().regex(/^[0-9a-fA-F.:]+\/\d{1,3}$/);
const plainAddress = z
  .string()
  .regex(/^[0-9a-fA-F.:]+$/)
  .max(45);

const networkInterface = z.object({
  name: interfaceName,
  mac: z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/),
  mtu: z.int().min(68).max(65535),
  up: z.boolean(),
  /** address/prefix length; link-local IPv6 ones make themselves from the MAC address. */
  addresses: z.array(prefixed).max(64),
});
export type NetworkInterface = z.infer<typeof networkInterface>;

const route = z.object({
  family: z.enum(["inet", "inet6"]),
  destination: z.union([z.literal("default"), plainAddress, prefixed]),
  gateway: plainAddress.optional(),
  device: interfaceName,
  source: plainAddress.optional(),
  metric: z.int().min(0).optional(),
  /** `link`, `global`, … as ip says it */
  scope: z
    .string()
    .regex(/^[a-z0-9]{1,16}$/)
    .optional(),
});
export type Route = z.infer<typeof route>;

const network = z.discriminatedUnion("kind", [
  /** The host's own: nothing can move with the container. */
  z.object({ kind: z.literal("host") }),
  /** One that runC makes, with a loopback only. */
  z.object({ kind: z.literal("private") }),
  z.object({
    kind: z.literal("path"),
    path: absolutePath,
    interfaces: z.array(networkInterface).max(16),
    routes: z.array(route).max(256),
  }),
]);
export type Network = z.infer<typeof network>;

const bindMount = z.object({
  source: absolutePath,
  target: text,
  kind: z.enum(["file", "folder", "other"]),
  readonly: z.boolean(),
});

const imageInfo = z.object({
  name: z.string().min(1).max(1024),
  target: descriptor,
  blobs: z.array(descriptor).min(1).max(600),
});
export type ImageInfo = z.infer<typeof imageInfo>;

const manifest = z.object({
  version: z.literal(1),
  /** Where the source's agent answers `Settle`. */
  agent: z.object({ host: z.string().min(1).max(253), port: z.int().min(1).max(65535) }),
  namespace: identifier,
  container: identifier,
  labels: z.record(z.string().max(4096), z.string().max(4096)),
  image: imageInfo,
  runtime: z.object({ name: z.string().regex(/^io\.containerd\.pclive\.v\d+$/), options: any.optional() }),
  spec: any,
  extensions: z.record(z.string().max(1024), any),
  sandbox: text,
  snapshotter: identifier,
  /** Where the container's streams went: kept only for kinds that do not end at a client of containerd. */
  stdio: z.object({ stdin: text, stdout: text, stderr: text }),
  /** Where init's descriptors 0-2 led when it was started, as runC lists them in descriptors.json. */
  descriptors: z.tuple([text, text, text]),
  network,
  binds: z.array(bindMount).max(256),
  memory: z.object({
    resident: bytes,
    /** Of its cgroup; absent: none. */
    limit: bytes.optional(),
  }),
  /** Bytes in the container's writable layer. */
  writable: bytes,
  system: z.object({
    kernel: z.string().max(256),
    arch: z.string().max(64),
    /** Instruction set extensions that programs can see. */
    cpu: z.array(z.string().max(64)).max(1024),
    criu: z.string().max(64),
  }),
});
export type Manifest = z.infer<typeof manifest>;

/** @throws AgentError PROTOCOL */
export function parseManifest(json: string): Manifest {
  if (json.length > MAX_MANIFEST)
    throw new AgentError("PROTOCOL", `the manifest is longer than ${MAX_MANIFEST} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new AgentError("PROTOCOL", "the manifest is not JSON", { cause: error });
  }
  const result = manifest.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AgentError(
    "PROTOCOL",
    `the manifest is malformed at ${issue?.path.join(".") ?? "?"}: ${issue?.message ?? ""}`,
    {
      remedy: "run the same version of PCLive on both hosts",
    },
  );
}

/** The text to send. @throws AgentError when this container cannot be described within the bounds */
export function formatManifest(value: Manifest): string {
  const json = JSON.stringify(value);
  parseManifest(json);
  return json;
}

export function encodeAny(value: { type_url?: string | null; value?: Uint8Array | null } | null | undefined) {
  return { typeUrl: value?.type_url ?? "", value: Buffer.from(value?.value ?? []).toString("base64") };
}

export function decodeAny(value: { typeUrl: string; value: string }): {
  type_url: string;
  value: Uint8Array;
} {
  return { type_url: value.typeUrl, value: Buffer.from(value.value, "base64") };
}
