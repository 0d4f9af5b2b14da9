/**
 * Runtime options as TOML: so Kubernetes (CRI), Docker and ctr hand on what the administrator has written for a
 * runtime that is not runc by name. The words are those of the runc runtime: `SystemdCgroup = true`.
 */
import { parse } from "smol-toml";
import { ShimError } from "../errors.js";
import { DEFAULT_OPTIONS, type RuntimeOptions } from "./options.js";

const NAMES = Object.keys(DEFAULT_OPTIONS) as (keyof RuntimeOptions)[];

/**
 * Words that we do not know are passed over: they may be for a newer runc runtime.
 * @throws ShimError INVALID_ARGUMENT for what is no TOML, or a value of the wrong type
 */
export function optionsFromToml(text: string, where: string): RuntimeOptions {
  const known = Object.entries(tableOf(text, where)).flatMap(([key, value]) => {
    const name = NAMES.find((each) => each.toLowerCase() === key.replaceAll("_", "").toLowerCase());
    if (name === undefined) return [];
    check(where, key, value, DEFAULT_OPTIONS[name]);
    return [[name, value] as const];
  });
  return { ...DEFAULT_OPTIONS, ...Object.fromEntries(known) };
}

function tableOf(text: string, where: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (cause) {
    const [reason = ""] = (cause instanceof Error ? cause.message : String(cause)).split("\n");
    throw invalid(`${where} cannot be read: ${reason}`, cause);
  }
}

function check(where: string, key: string, value: unknown, like: unknown): void {
  const fits = typeof value === typeof like && (typeof value !== "number" || isId(value));
  if (!fits)
    throw invalid(
      `${where}: ${key} must be ${typeof like === "number" ? "a user or group" : `a ${typeof like}`}`,
    );
}

function isId(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}

function invalid(message: string, cause?: unknown): ShimError {
  return new ShimError("INVALID_ARGUMENT", message, "mend the runtime's options", cause);
}
