/** /var/lib/pclive/install.json: what install did, so that uninstall takes back that and nothing else. */
import { z } from "zod";
import { reason, refused } from "./errors.js";
import { MANIFEST } from "./names.js";
import { ownedByUs } from "./replace.js";
import type { Root } from "./root.js";

const digest = z.string().regex(/^[0-9a-f]{64}$/);
const path = z.string().regex(/^\//).max(4096);

/** A file that we edited. `after` is the digest of what we left: while it holds, `before` is the way back. */
const edited = z.strictObject({
  kind: z.enum(["containerd", "docker"]),
  path,
  after: digest,
  before: z.discriminatedUnion("was", [
    z.strictObject({ was: z.literal("missing") }),
    z.strictObject({ was: z.literal("saved"), backup: path, digest }),
    /** Changed by its owner between two installs: no saved file is what was there. */
    z.strictObject({ was: z.literal("other") }),
  ]),
  /** Docker: the key `runtimes` came with us. */
  madeRuntimes: z.boolean().optional(),
});

const done = z.discriminatedUnion("kind", [
  edited,
  z.strictObject({ kind: z.literal("file"), path, after: digest }),
  z.strictObject({ kind: z.literal("link"), path, target: path }),
  z.strictObject({ kind: z.literal("folder"), path }),
  z.strictObject({ kind: z.literal("unit"), name: z.string().max(256) }),
]);

const schema = z.strictObject({
  format: z.literal(1),
  version: z.string().max(64),
  installed: z.string().max(64),
  done: z.array(done).max(64),
});

export type Edited = z.infer<typeof edited>;
export type Done = z.infer<typeof done>;
export type Manifest = z.infer<typeof schema>;

/** @throws CliError for a file that is not of our making */
export function readManifest(root: Root): Manifest | undefined {
  const text = root.readText(MANIFEST);
  if (text === undefined) return undefined;
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw refused(
      MANIFEST,
      `not a record of an installation: ${reason(error).split("\n")[0]}`,
      "move it away: install and uninstall then go by the marks in the files",
    );
  }
}

/** Its folder must be there. */
export function writeManifest(root: Root, manifest: Manifest): void {
  root.write(MANIFEST, `${JSON.stringify(manifest, null, 2)}\n`, ownedByUs(0o600));
}

export function find<K extends Done["kind"]>(
  manifest: Manifest | undefined,
  kind: K,
  at: string,
): Extract<Done, { kind: K }> | undefined {
  const same = (entry: Done) => entry.kind === kind && "path" in entry && entry.path === at;
  return manifest?.done.find(same) as Extract<Done, { kind: K }> | undefined;
}
