/** Words of the command line that several commands take, checked. */
import { parseDuration, parseSize } from "../format.js";
import { CliError } from "./exit.js";

export function usage(message: string, remedy: string): CliError {
  return new CliError("USAGE", message, remedy);
}

/** @returns milliseconds @throws CliError USAGE */
export function duration(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms <= 0)
    throw usage(`--${name} ${text} is no duration`, `write it like --${name} 100ms or --${name} 10m`);
  return ms;
}

/** @returns bytes; 0 when it was not given @throws CliError USAGE */
export function size(name: string, text: string | undefined): number {
  const bytes = text === undefined ? 0 : parseSize(text);
  if (bytes === undefined) throw usage(`--${name} ${text} is no size`, "write bytes per second like 500M");
  return bytes;
}

/** @returns a whole number; 0 when it was not given @throws CliError USAGE */
export function whole(name: string, text: string | undefined, low: number, high: number): number {
  if (text === undefined) return 0;
  const value = Number(text.replace(/%$/, ""));
  if (!Number.isInteger(value) || value < low || value > high)
    throw usage(`--${name} ${text} is out of range`, `use a whole number from ${low} to ${high}`);
  return value;
}

/** @throws CliError USAGE */
export function oneOf(name: string, value: string, allowed: readonly string[]): string {
  if (!allowed.includes(value))
    throw usage(`--${name} ${value} is not known`, `use one of: ${allowed.join(", ")}`);
  return value;
}

export function print(json: boolean | undefined, value: unknown, text: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(value) : text}\n`);
}
