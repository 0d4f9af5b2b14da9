/** The OCI process of an Exec: checked for its kinds of fields here, for their meaning by runC. */
import { ShimError } from "../errors.js";

const isString = (value: unknown) => typeof value === "string";
const isStrings = (value: unknown) => Array.isArray(value) && value.every(isString);
const isObject = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

const KINDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  args: isStrings,
  env: isStrings,
  cwd: isString,
  user: isObject,
};

/**
 * The process as JSON with the terminal that the request asks for: both must agree.
 * @throws ShimError naming the field
 */
export function execProcess(text: string, terminal: boolean): string {
  const process = parse(text);
  for (const [name, isRight] of Object.entries(KINDS)) {
    const field = process[name] ?? undefined;
    if (field !== undefined && !isRight(field)) throw unusable(`${name} is of the wrong kind`);
  }
  return JSON.stringify({ ...process, terminal });
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unusable("no JSON", cause);
  }
  if (value === null) return {};
  if (!isObject(value)) throw unusable("no object");
  return value as Record<string, unknown>;
}

function unusable(why: string, cause?: unknown): ShimError {
  return new ShimError("UNKNOWN", `the exec's process cannot be used: ${why}`, "send an OCI process", cause);
}
