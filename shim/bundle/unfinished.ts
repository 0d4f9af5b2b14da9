/** What a checkpoint under way has made outside of the bundle: should the shim be killed, `delete` takes it away. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const fileIn = (bundle: string): string => join(bundle, "checkpoint.json");
/** Names of nobody else's folders: the damage that a damaged file can do. */
const OURS = [/^\/.*\/\.[^/]*\.pclive-[0-9a-f]{12}$/, /^\/.*\/[0-9a-f]{32}$/];

export function noteUnfinished(bundle: string, folders: readonly string[]): void {
  writeFileSync(fileIn(bundle), JSON.stringify(folders), { mode: 0o600 });
}

export function forgetUnfinished(bundle: string): void {
  rmSync(fileIn(bundle), { force: true });
}

export function unfinished(bundle: string): string[] {
  try {
    const folders: unknown = JSON.parse(readFileSync(fileIn(bundle), "utf8"));
    if (!Array.isArray(folders)) return [];
    return folders.filter(
      (folder): folder is string => typeof folder === "string" && OURS.some((name) => name.test(folder)),
    );
  } catch {
    return [];
  }
}
