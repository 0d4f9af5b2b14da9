/** Does what was planned: the record first, then a saved copy of each file, then the file. */
import { createHash } from "node:crypto";
import { dirname } from "node:path";
import { CliError } from "../exit.js";
import { findBlock } from "./block.js";
import { systemctl } from "./host.js";
import { type Done, type Edited, find, type Manifest, readManifest, writeManifest } from "./manifest.js";
import { MANIFEST } from "./names.js";
import type { Change } from "./plan.js";
import type { Root } from "./root.js";

export function digestOf(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Carries the changes out. @returns the copies that were saved, by the path of their file */
export function applyChanges(root: Root, changes: readonly Change[], version: string): Map<string, string> {
  const old = readManifest(root);
  const saved = new Map<string, string>();
  if (changes.every((change) => change.kind === "nothing")) return saved;
  const stamp = timestamp(new Date());
  const made = (path: string, mode?: number) =>
    root.makeFolder(path, mode).map((path): Done => ({ kind: "folder", path }));
  const folders = made(dirname(MANIFEST), 0o700);
  const record = (entries: readonly Done[]) => {
    const isNew = (entry: Done) => !entries.some((other) => sameThing(entry, other));
    const done = [...(old?.done ?? []).filter(isNew), ...entries];
    writeManifest(root, { format: 1, version, installed: new Date().toISOString(), done });
  };
  const entries: Done[] = [];
  for (const change of changes) {
    if (change.kind === "nothing") continue;
    const entry = entryOf(change, old, stamp);
    entries.push(entry);
    if ("path" in change) folders.push(...made(dirname(change.path)));
    record([...folders, ...entries]);
    if (saves(entry) && !root.exists(entry.before.backup)) {
      root.copy(entry.path, entry.before.backup);
      saved.set(entry.path, entry.before.backup);
    }
    carryOut(root, change);
  }
  return saved;
}

function carryOut(root: Root, change: Exclude<Change, { kind: "nothing" }>): void {
  switch (change.kind) {
    case "edit":
    case "file":
      root.write(change.path, change.after);
      return;
    case "link":
      root.link(change.path, change.target);
      return;
    case "unit":
      systemctl("daemon-reload");
      if (systemctl("enable", change.name)) return;
      throw new CliError(
        "UNIT_FAILED",
        `${change.name} cannot be enabled`,
        `systemctl enable ${change.name}`,
      );
  }
}

function entryOf(
  change: Exclude<Change, { kind: "nothing" }>,
  old: Manifest | undefined,
  stamp: string,
): Done {
  switch (change.kind) {
    case "edit": {
      const { of: kind, path, after } = change;
      const former = find(old, kind, path);
      return {
        kind,
        path,
        after: digestOf(after),
        before: wayBack(change, former, stamp),
        ...(change.madeRuntimes === undefined ? {} : { madeRuntimes: change.madeRuntimes }),
      };
    }
    case "file":
      return { kind: "file", path: change.path, after: digestOf(change.after) };
    case "link":
      return change;
    case "unit":
      return change;
  }
}

/** How the file gets back to what it was before us. */
function wayBack(
  change: Extract<Change, { kind: "edit" }>,
  former: Edited | undefined,
  stamp: string,
): Edited["before"] {
  const { before, path } = change;
  if (before === undefined) return { was: "missing" };
  // Still as we left it: what it was before that is the state to come back to.
  if (former !== undefined && former.after === digestOf(before)) return former.before;
  if (change.of === "containerd" && findBlock(before) !== undefined) return { was: "other" };
  return { was: "saved", backup: `${path}.pclive-${stamp}`, digest: digestOf(before) };
}

function saves(entry: Done): entry is Edited & { before: { was: "saved" } } {
  return (entry.kind === "containerd" || entry.kind === "docker") && entry.before.was === "saved";
}

function sameThing(a: Done, b: Done): boolean {
  if (a.kind !== b.kind) return false;
  return "path" in a && "path" in b ? a.path === b.path : true;
}

/** 20260131-235959, in the host's time. */
function timestamp(now: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`;
  return `${day}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
}
