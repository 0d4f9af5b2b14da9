/**
 * A test authority and host certificates, by the openssl command. What production should use is an
 * authority of its own; the requirements are the same: EC or RSA keys, serverAuth and clientAuth, and the host's name
 * as subject alternative name.
 */
import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const OPENSSL_TIMEOUT_MS = 30_000;

export class CertificateError extends Error {
  readonly code = "USAGE";
  constructor(
    message: string,
    readonly remedy: string,
  ) {
    super(message);
    this.name = "CertificateError";
  }
}

export interface CertificateHost {
  readonly name: string;
  readonly addresses: readonly string[];
}

/**
 * Parses `NAME` or `NAME=ADDRESS[,ADDRESS…]`.
 * @throws CertificateError
 */
export function parseCertificateHost(text: string): CertificateHost {
  const [name = "", list] = text.split("=", 2);
  if (!/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$/.test(name)) {
    throw new CertificateError(
      `${JSON.stringify(name)} is no host name`,
      "use letters, digits, dots and dashes",
    );
  }
  const addresses = list === undefined ? [] : list.split(",");
  for (const address of addresses) {
    if (isIP(address) === 0 && !/^[a-zA-Z0-9.-]{1,253}$/.test(address)) {
      throw new CertificateError(`${JSON.stringify(address)} is no address`, "write NAME=10.0.0.1,10.0.0.2");
    }
  }
  return { name, addresses };
}

/**
 * Makes `out/ca.crt`, `out/ca.key` (kept when they are there) and for each host
 * `out/NAME/{ca.crt,host.crt,host.key}`, ready to be copied to that host's /etc/pclive/tls.
 * @param days validity, 1 to 3650
 * @returns the files that were written
 * @throws CertificateError for bad input, or openssl's own words
 */
export async function makeCertificates(
  out: string,
  hosts: readonly string[],
  days: number,
): Promise<string[]> {
  if (!Number.isInteger(days) || days < 1 || days > 3650) {
    throw new CertificateError("the validity must be 1 to 3650 days", "for example --days 365");
  }
  const wanted = hosts.map(parseCertificateHost);
  await mkdir(out, { recursive: true, mode: 0o700 });
  const scratch = await mkdtemp(join(out, ".new-"));
  try {
    const made = await makeAuthority(out, scratch, days);
    for (const host of wanted) made.push(...(await makeHost(out, scratch, host, days)));
    return made;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function makeAuthority(out: string, scratch: string, days: number): Promise<string[]> {
  const key = join(out, "ca.key");
  const cert = join(out, "ca.crt");
  if ((await exists(key)) && (await exists(cert))) return [];
  const fresh = { key: join(scratch, "ca.key"), cert: join(scratch, "ca.crt") };
  await makeKey(fresh.key);
  await openssl(
    ["req", "-x509", "-new", "-sha256", "-key", fresh.key, "-out", fresh.cert, "-days", String(days)],
    ["-subj", "/CN=PCLive test authority"],
    ["-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"],
    ["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
  );
  await rename(fresh.key, key);
  await rename(fresh.cert, cert);
  return [cert, key];
}

async function makeHost(
  out: string,
  scratch: string,
  host: CertificateHost,
  days: number,
): Promise<string[]> {
  const folder = join(out, host.name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const fresh = {
    key: join(scratch, "key"),
    request: join(scratch, "csr"),
    cert: join(scratch, "crt"),
    ext: join(scratch, "ext"),
  };
  await makeKey(fresh.key);
  await openssl([
    "req",
    "-new",
    "-sha256",
    "-key",
    fresh.key,
    "-out",
    fresh.request,
    "-subj",
    `/CN=${host.name}`,
  ]);
  await writeFile(fresh.ext, extensions(host));
  await openssl(
    ["x509", "-req", "-sha256", "-in", fresh.request, "-out", fresh.cert, "-days", String(days)],
    ["-CA", join(out, "ca.crt"), "-CAkey", join(out, "ca.key"), "-set_serial", `0x${randomSerial()}`],
    ["-extfile", fresh.ext],
  );
  const files = { ca: join(folder, "ca.crt"), cert: join(folder, "host.crt"), key: join(folder, "host.key") };
  await copyFile(join(out, "ca.crt"), files.ca);
  await rename(fresh.cert, files.cert);
  await rename(fresh.key, files.key);
  return [files.ca, files.cert, files.key];
}

function extensions(host: CertificateHost): string {
  const names = [`DNS:${host.name}`, ...host.addresses.map((a) => (isIP(a) === 0 ? `DNS:${a}` : `IP:${a}`))];
  return [
    "basicConstraints=critical,CA:FALSE",
    "keyUsage=critical,digitalSignature",
    "extendedKeyUsage=serverAuth,clientAuth",
    `subjectAltName=${names.join(",")}`,
    "",
  ].join("\n");
}

/** 128 bits, the first one zero so that the number is positive. */
function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

async function makeKey(path: string): Promise<void> {
  await openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path]);
  await chmod(path, 0o600);
}

async function openssl(...args: readonly (readonly string[])[]): Promise<void> {
  try {
    await run("openssl", args.flat(), { timeout: OPENSSL_TIMEOUT_MS });
  } catch (error) {
    const known = error as { code?: unknown; stderr?: string; message: string };
    if (known.code === "ENOENT")
      throw new CertificateError("openssl is not installed", "apt-get install openssl");
    throw new CertificateError(`openssl failed: ${(known.stderr ?? known.message).trim()}`, "");
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
