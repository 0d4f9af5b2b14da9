/** Checkpoints as a file or a stream: what the words of the command line mean, and the way there and back. */
import { statSync } from "node:fs";
import { mkdir, open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { isatty } from "node:tty";
import { libDir } from "../agent/system.js";
import type { Openers } from "../checkpoint/age.js";
import { type ArchiveTotals, packImage, type Seal, unpackImage } from "../checkpoint/archive.js";
import { ArchiveFile } from "../checkpoint/archive-file.js";
import { STAGING, Staging } from "../checkpoint/staging.js";
import { MigrationError } from "../migration/error.js";
import { CliError } from "./exit.js";

/** How an archive shall be made. */
export interface ArchiveFlags {
  compress?: string;
  encryptTo?: string[];
  passphraseFile?: string;
  staging?: string;
}

/** How an archive can be opened. */
export interface OpenFlags {
  identity?: string[];
  passphraseFile?: string;
  staging?: string;
}

export type Target =
  | { readonly kind: "folder"; readonly path: string }
  /** In a cache of the agents': the agent knows more of it. */
  | { readonly kind: "cache"; readonly place: string }
  | { readonly kind: "stream" }
  | { readonly kind: "file"; readonly path: string };

/** What this command has to pack, or to unpack, by itself. */
export type Archive = Extract<Target, { kind: "stream" | "file" }>;

/** A quarter of the whole program, and seldom needed. */
const age = () => import("../checkpoint/age.js");

const ARCHIVE = /\.tar(\.zst)?(\.age)?$/;
const STDIN = 0;
const STDOUT = 1;

/** @throws CliError USAGE when the words contradict each other */
export function targetOf(to: string, flags: ArchiveFlags): Target {
  const { compress, encryptTo, passphraseFile } = flags;
  const encrypted = encryptTo !== undefined || passphraseFile !== undefined;
  if (compress !== undefined && compress !== "zstd")
    throw usage(`--compress ${compress} is not known`, "use zstd");
  if (encryptTo !== undefined && passphraseFile !== undefined)
    throw usage("--encrypt-to and --passphrase-file exclude each other", "use one of them");
  if (to === "-") return { kind: "stream" };
  if (to.startsWith("peer:")) {
    if (!encrypted && compress === undefined) return { kind: "cache", place: to };
    throw usage(
      "what a peer keeps is neither compressed nor encrypted",
      "leave that out; the way is encrypted",
    );
  }
  const path = resolve(to);
  const name = ARCHIVE.exec(path);
  if (name === null) {
    if (!encrypted && compress === undefined) return { kind: "folder", path };
    throw usage("a folder is neither compressed nor encrypted", "name a file, such as web.tar.zst.age, or -");
  }
  if ((name[2] !== undefined) !== encrypted) {
    throw encrypted
      ? usage(`${to} will be encrypted`, `call it ${to}.age`)
      : usage(`${to} shall be encrypted, but for whom?`, "add --encrypt-to age1… or --passphrase-file");
  }
  if (name[1] === undefined && compress !== undefined)
    throw usage(`${to} will be compressed`, `call it ${to.replace(".tar", ".tar.zst")}`);
  return { kind: "file", path };
}

/** Where an image comes from. @throws CliError USAGE */
export function sourceOf(from: string): Target {
  if (from === "-") return { kind: "stream" };
  if (from.startsWith("cache:")) return { kind: "cache", place: from };
  const path = resolve(from);
  return { kind: statSync(path, { throwIfNoEntry: false })?.isFile() ? "file" : "folder", path };
}

/**
 * Has an image made in a folder, and packs it.
 * @param take writes an image to the folder that it is given; `ends`: and ends the container
 */
export async function checkpointToArchive<T>(
  container: string,
  target: Archive,
  flags: ArchiveFlags & { to: string; exit?: boolean },
  take: (folder: string) => Promise<T>,
): Promise<{ report: T; packed: ArchiveTotals; size: number | undefined }> {
  if (target.kind === "stream" && isatty(STDOUT))
    throw usage(
      "an image is nothing for a terminal",
      "send it to a file or a pipe: pclive checkpoint … --to - | …",
    );
  const seal = await sealOf(flags);
  const compress = flags.compress === "zstd" || /\.zst(\.age)?$/.test(flags.to);
  return withStaging(flags.staging, async (staging) => {
    const file = target.kind === "file" ? await createFile(target.path) : undefined;
    try {
      const report = await take(staging.image);
      const send = async (from: string) => {
        const stream = file?.descriptor ?? STDOUT;
        const options = { libDir: libDir({}), stream, logFile: staging.engineLog, from, compress, seal };
        return { report, packed: await packImage(options), size: await file?.publish() };
      };
      return flags.exit === true
        ? await sendKept(container, await staging.keep(container), send)
        : await send(staging.image);
    } finally {
      await file?.close();
    }
  });
}

/** @param restore from the folder that it is given */
export async function restoreFromArchive<T>(
  source: Archive,
  flags: OpenFlags,
  restore: (folder: string) => Promise<T>,
): Promise<T> {
  if (source.kind === "stream" && isatty(STDIN))
    throw usage(
      "an image does not come from a terminal",
      "give it a file or a pipe: … | pclive restore … --from -",
    );
  const openers = await openersOf(flags);
  return withStaging(flags.staging, async (staging) => {
    const file = source.kind === "file" ? await open(source.path, "r") : undefined;
    try {
      await mkdir(staging.image, { mode: 0o700 });
      await unpackImage({
        libDir: libDir({}),
        stream: file?.fd ?? STDIN,
        logFile: staging.engineLog,
        to: staging.image,
        unseal: async (header) => (await age()).openSeal(header, openers),
      });
    } finally {
      await file?.close();
    }
    staging.lend();
    return restore(staging.image);
  });
}

/** The container has ended: its image must not go as well, whatever happens to it or to us on the way. */
async function sendKept<T>(
  container: string,
  folder: string,
  send: (from: string) => Promise<T>,
): Promise<T> {
  try {
    const sent = await send(folder);
    await rm(folder, { recursive: true, force: true });
    return sent;
  } catch (error) {
    const { code, message } = MigrationError.from(error);
    throw new CliError(
      code,
      `the container was checkpointed and has ended, but its image could not be sent: ${message}`,
      `the image is whole in ${folder}: pclive restore ${container} --from ${folder}; remove it then`,
    );
  }
}

async function withStaging<T>(
  folder: string | undefined,
  work: (staging: Staging) => Promise<T>,
): Promise<T> {
  const interrupted = () => process.exit(130);
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, interrupted);
  const staging = await Staging.create(folder === undefined ? STAGING : resolve(folder));
  try {
    return await work(staging);
  } catch (error) {
    throw cliError(error);
  } finally {
    await staging.remove();
    for (const signal of signals) process.off(signal, interrupted);
  }
}

async function createFile(path: string): Promise<ArchiveFile> {
  try {
    return await ArchiveFile.create(path);
  } catch (error) {
    throw new CliError(
      "FAILED",
      `${path} cannot be written: ${(error as Error).message}`,
      "name another file",
    );
  }
}

async function sealOf({ encryptTo, passphraseFile }: ArchiveFlags): Promise<Seal | undefined> {
  if (encryptTo === undefined && passphraseFile === undefined) return undefined;
  const { makeSeal, readPassphrase } = await age();
  try {
    if (passphraseFile === undefined)
      return await makeSeal({ kind: "recipients", recipients: encryptTo ?? [] });
    return await makeSeal({ kind: "passphrase", passphrase: await readPassphrase(passphraseFile) });
  } catch (error) {
    throw cliError(error);
  }
}

async function openersOf({ identity = [], passphraseFile }: OpenFlags): Promise<Openers> {
  if (identity.length === 0 && passphraseFile === undefined) return { identities: [] };
  const { readIdentities, readPassphrase } = await age();
  try {
    const identities = (await Promise.all(identity.map(readIdentities))).flat();
    return { identities, ...(passphraseFile && { passphrase: await readPassphrase(passphraseFile) }) };
  } catch (error) {
    throw cliError(error);
  }
}

function cliError(error: unknown): CliError {
  if (error instanceof CliError) return error;
  const { code, message, remedy } = MigrationError.from(error);
  return new CliError(code === "invalid" || code === "key" ? "USAGE" : code, message, remedy);
}

function usage(message: string, remedy: string): CliError {
  return new CliError("USAGE", message, remedy);
}
