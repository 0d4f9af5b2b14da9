/**
 * The agent's configuration: /etc/pclive/config.json.
 */
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { AgentError } from "./errors.js";

export const DEFAULT_CONFIG = "/etc/pclive/config.json";
export const DEFAULT_PORT = 7420;

const port = z.int().min(1).max(65535);
const absolute = z
  .string()
  .regex(/^\/[^\0]*$/, "must be an absolute path")
  .max(4096);
/** The names that certificates carry: what DNS allows for a host. */
export const hostName = z
  .string()
  .regex(/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$/, "must be a host name")
  .max(253);

/** @throws AgentError PROTOCOL when a peer's name is none */
export function ensureName(text: string): string {
  const result = hostName.safeParse(text);
  if (result.success) return result.data;
  throw new AgentError("PROTOCOL", "the peer does not say which host it is");
}

const address = z.string().min(1).max(270);

const schema = z.strictObject({
  /** This host's name; its certificate must carry it. Default: the system's host name. */
  host: hostName.default(hostname()),
  /** Where other agents reach us. */
  listen: z
    .strictObject({ host: z.string().min(1).max(255).default("0.0.0.0"), port: port.default(DEFAULT_PORT) })
    .prefault({}),
  /** The address that peers send memory to. Default: `listen.host`, or the address by which the peer reached us. */
  advertise: z.string().min(1).max(255).optional(),
  tls: z
    .strictObject({
      ca: absolute.default("/etc/pclive/tls/ca.crt"),
      cert: absolute.default("/etc/pclive/tls/host.crt"),
      key: absolute.default("/etc/pclive/tls/host.key"),
    })
    .prefault({}),
  /** Other hosts: name → address or address:port. */
  hosts: z.record(hostName, address).default({}),
  containerd: z
    .strictObject({
      address: absolute.default("/run/containerd/containerd.sock"),
      /** containerd's own folder of running tasks, below which shims keep their bundles. */
      state: absolute.default("/run/containerd"),
      /** For containers whose own snapshotter is not named. */
      snapshotter: z.string().min(1).max(76).default("overlayfs"),
    })
    .prefault({}),
  /** `none`: the destination's network namespaces are somebody else's. `bridge`: they are made, on this bridge. */
  network: z
    .discriminatedUnion("driver", [
      z.strictObject({ driver: z.literal("none") }),
      z.strictObject({ driver: z.literal("bridge"), bridge: z.string().regex(/^[^\s/]{1,15}$/) }),
    ])
    .default({ driver: "none" }),
  limits: z
    .strictObject({
      /** Migrations at the same time, in each direction. */
      migrations: z.int().min(1).max(64).default(4),
      /** Bytes of one gRPC message between agents. */
      message: z
        .int()
        .min(65_536)
        .max(64 * 1024 * 1024)
        .default(4 * 1024 * 1024),
      /** Bytes of the differences of one writable layer. */
      rootfs: z
        .int()
        .min(1_048_576)
        .default(64 * 1024 ** 3),
    })
    .prefault({}),
  /** Checkpoints that other hosts keep here. */
  cache: z
    .strictObject({
      /** Bytes of all of them. */
      maxBytes: z
        .int()
        .min(0)
        .default(64 * 1024 ** 3),
    })
    .prefault({}),
  stateDir: absolute.default("/var/lib/pclive"),
  runDir: absolute.default("/run/pclive"),
  /** Folder of the engine and of criu. Default: where this program lies. */
  libDir: absolute.optional(),
  log: z.enum(["trace", "debug", "info", "warn", "error"]).default("info"),
});

export type Config = z.infer<typeof schema>;

/** Where the shims have the scratch folders of their migrations. */
export function scratchDir(config: Config): string {
  return join(config.runDir, "m");
}

/** @throws AgentError CONFIG: one clear line for what is wrong */
export function parseConfig(text: string, where: string): Config {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new AgentError("CONFIG", `${where} is not JSON: ${(error as Error).message}`);
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => `${issue.path.join(".") || "(top)"}: ${issue.message}`);
  throw new AgentError("CONFIG", `${where}: ${lines.join("; ")}`, {
    remedy: "see docs/install.md for every setting",
  });
}

/** @throws AgentError CONFIG */
export function loadConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new AgentError("CONFIG", `the configuration cannot be read: ${(error as Error).message}`, {
      remedy: `create ${path}; an empty object {} gives every default`,
    });
  }
  return parseConfig(text, path);
}

export interface Identity {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/**
 * The PEM files, checked as far as one host can: they exist, the certificate is valid now, carries this
 * host's name and belongs to the key's authority.
 * @throws AgentError CONFIG
 */
export function loadIdentity(config: Config): Identity {
  const identity = {
    ca: readPem(config.tls.ca, "tls.ca"),
    cert: readPem(config.tls.cert, "tls.cert"),
    key: readPem(config.tls.key, "tls.key"),
  };
  const remedy = `make certificates with \`pclive certs ${config.host}=ADDRESS … --out FOLDER\` and put them there`;
  const wrong = (what: string) => new AgentError("CONFIG", `${config.tls.cert} ${what}`, { remedy });
  let certificate: X509Certificate;
  let authority: X509Certificate;
  try {
    certificate = new X509Certificate(identity.cert);
    authority = new X509Certificate(identity.ca);
  } catch (error) {
    throw wrong(`or ${config.tls.ca} is no certificate: ${(error as Error).message}`);
  }
  if (certificate.checkHost(config.host) === undefined)
    throw wrong(`does not carry this host's name, ${config.host}`);
  if (Date.parse(certificate.validTo) < Date.now()) throw wrong(`has expired on ${certificate.validTo}`);
  if (!certificate.verify(authority.publicKey)) throw wrong(`is not signed by ${config.tls.ca}`);
  return identity;
}

function readPem(path: string, setting: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new AgentError("CONFIG", `${setting} cannot be read: ${(error as Error).message}`, {
      remedy: "the agent speaks mutual TLS only: make certificates with `pclive certs`",
    });
  }
}

export interface PeerAddress {
  /** The name that the peer's certificate must carry. */
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

/** Splits `host`, `host:port`, `[v6]:port` or a bare IPv6 address. */
export function splitAddress(text: string, defaultPort = DEFAULT_PORT): { host: string; port: number } {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text);
  const plain = /^([^:]+)(?::(\d{1,5}))?$/.exec(text);
  const match = bracketed ?? plain;
  if (match === null) return { host: text, port: defaultPort };
  const wanted = match[2] === undefined ? defaultPort : Number(match[2]);
  if (!port.safeParse(wanted).success) throw new AgentError("USAGE", `${text} has no valid port`);
  return { host: match[1] ?? text, port: wanted };
}

/**
 * Where a host named on the command line is, and what its certificate must say: a name of `hosts`,
 * an address that `hosts` knows, or any other name or address, which must then stand in its certificate.
 */
export function resolveHost(config: Config, wanted: string): PeerAddress {
  const found = findHost(config, wanted);
  if (found.name !== config.host) return found;
  throw new AgentError("USAGE", `${wanted} is this host itself`, { remedy: "name another host" });
}

/** Whether that is this host; what is no host is not. */
export function isThisHost(config: Config, wanted: string): boolean {
  try {
    return findHost(config, wanted).name === config.host;
  } catch {
    return false;
  }
}

function findHost(config: Config, wanted: string): PeerAddress {
  const known = config.hosts[wanted];
  if (known !== undefined) return { name: wanted, ...splitAddress(known) };
  if (wanted.length === 0 || wanted.length > 270 || /[\s/@]/.test(wanted)) {
    throw new AgentError("USAGE", `${JSON.stringify(wanted)} is no host`, {
      remedy: "give a host name or address[:port]",
    });
  }
  const parts = splitAddress(wanted);
  for (const [name, value] of Object.entries(config.hosts)) {
    const other = splitAddress(value);
    if (name === parts.host || (other.host === parts.host && other.port === parts.port)) {
      return { name, ...(name === parts.host ? { host: other.host, port: parts.port } : parts) };
    }
  }
  return { name: parts.host, ...parts };
}
