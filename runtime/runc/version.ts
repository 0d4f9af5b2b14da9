/** How old a runC may be. */

/** The oldest that PCLive was tried with. */
export const OLDEST = "1.1";

/** What runC says of a command or an option that it has not learned yet. */
export function isTooOld(said: string): boolean {
  return /flag provided but not defined|No help topic for/.test(said);
}

/** "runc 1.0.3" of what `runc --version` prints. */
export function versionIn(text: string): string | undefined {
  const [, version] = /^(?:\S+) version (\S+)/m.exec(text) ?? [];
  return version === undefined ? undefined : `runc ${version}`;
}
