/**
 * Keys of encrypted archives. They are files of age (age-encryption.org/v1), which `age --decrypt` opens: the header is made and
 * read here, by its library; the engine does the bulk.
 */
import { open } from "node:fs/promises";
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from "age-encryption";
import { MigrationError } from "../migration/error.js";
import type { Seal } from "./archive.js";

/** Whom an archive is for, or what opens it. */
export type Secrets =
  | { readonly kind: "recipients"; readonly recipients: readonly string[] }
  | { readonly kind: "passphrase"; readonly passphrase: string };

export interface Openers {
  readonly identities: readonly string[];
  readonly passphrase?: string | undefined;
}

const NONCE_BYTES = 16;
const TAG_BYTES = 16;
const MAX_SECRET_FILE = 64 * 1024;

/** @throws MigrationError `invalid` when a recipient is none */
export async function makeSeal(secrets: Secrets): Promise<Seal> {
  const encrypter = new Encrypter();
  try {
    if (secrets.kind === "passphrase") encrypter.setPassphrase(secrets.passphrase);
    else for (const recipient of secrets.recipients) encrypter.addRecipient(recipient);
    let key: Uint8Array | undefined;
    if (secrets.kind === "recipients") {
      encrypter.addRecipient({
        wrapFileKey: (fileKey) => {
          key = fileKey;
          return [];
        },
      });
    }
    // The header of a file of no bytes; what follows it is a nonce and one empty sealed chunk.
    const file = await encrypter.encrypt(new Uint8Array());
    const header = file.subarray(0, file.length - NONCE_BYTES - TAG_BYTES);
    key ??= await opener({
      identities: [],
      ...(secrets.kind === "passphrase" ? { passphrase: secrets.passphrase } : {}),
    }).decryptHeader(header);
    return { header: Buffer.from(header).toString("latin1"), key: hex(key) };
  } catch (error) {
    throw new MigrationError("invalid", `the archive cannot be encrypted: ${textOf(error)}`, {
      remedy: "name recipients as age does: age1…",
      cause: error,
    });
  }
}

/** @throws MigrationError `key` */
export async function openSeal(header: string, openers: Openers): Promise<string> {
  if (openers.identities.length === 0 && openers.passphrase === undefined) {
    throw new MigrationError("key", "the archive is encrypted", {
      remedy: "name the key with --identity, or --passphrase-file",
    });
  }
  try {
    return hex(await opener(openers).decryptHeader(Buffer.from(header, "latin1")));
  } catch (error) {
    throw new MigrationError("key", `the archive cannot be opened with this key: ${textOf(error)}`, {
      remedy: "name the key that the archive was made for",
      cause: error,
    });
  }
}

/** A new key in a file that only its owner can read. @returns its public part */
export async function makeIdentity(path: string): Promise<string> {
  const identity = await generateX25519Identity();
  const recipient = await identityToRecipient(identity);
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(`# public key: ${recipient}\n${identity}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  return recipient;
}

/** @throws MigrationError `key` */
export async function readIdentities(path: string): Promise<string[]> {
  const lines = (await readSecret(path)).split("\n").map((line) => line.trim());
  const identities = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (identities.length > 0 && identities.every((line) => /^AGE-SECRET-KEY-(PQ-)?1[A-Z0-9]+$/.test(line)))
    return identities;
  throw new MigrationError("key", `${path} holds no key of age`, {
    remedy: "make one with `pclive keygen` or age-keygen",
  });
}

/** The first line of the file. @throws MigrationError `key` */
export async function readPassphrase(path: string): Promise<string> {
  const [line = ""] = (await readSecret(path)).split(/\r?\n/);
  if (line !== "") return line;
  throw new MigrationError("key", `${path} has no passphrase in its first line`);
}

/** @throws MigrationError `key` when others could have read or written it */
async function readSecret(path: string): Promise<string> {
  const failed = (why: string, remedy: string, cause?: unknown) =>
    new MigrationError("key", `the key ${path} ${why}`, { remedy, cause });
  const file = await open(path, "r").catch((error: Error) => {
    throw failed(`cannot be read: ${error.message}`, "name the file of the key", error);
  });
  try {
    const { mode, uid, size } = await file.stat();
    if (uid !== 0 && uid !== process.getuid?.())
      throw failed("belongs to another user", `chown root ${path}`);
    if ((mode & 0o077) !== 0) throw failed("can be read by others", `chmod 600 ${path}`);
    if (size > MAX_SECRET_FILE) throw failed("is too long", "name the file of the key");
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

function opener({ identities, passphrase }: Openers): Decrypter {
  const decrypter = new Decrypter();
  for (const identity of identities) decrypter.addIdentity(identity);
  if (passphrase !== undefined) decrypter.addPassphrase(passphrase);
  return decrypter;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
