/** What config.json must look like for us to rely on it; runC checks the rest. */
import type { OciSpec } from "../container/migratable.js";
import { ShimError } from "../errors.js";

type Fields = Readonly<Record<string, unknown>>;

/** @throws ShimError when a part that we read is of another type than OCI says */
export function specOf(path: string, value: unknown): OciSpec {
  const problem = problemOf(value);
  if (problem === undefined) return value as OciSpec;
  throw new ShimError("INVALID_ARGUMENT", `${path}: ${problem}`, "create the container again");
}

function problemOf(spec: unknown): string | undefined {
  if (!isObject(spec)) return "missing, or no JSON object";
  for (const name of ["annotations", "process", "root", "linux"]) {
    if (isSet(spec[name]) && !isObject(spec[name])) return `${name} is no object`;
  }
  const { annotations, linux } = spec as Record<string, Fields | null | undefined>;
  if (!Object.values(annotations ?? {}).every((text) => typeof text === "string")) {
    return "an annotation is no string";
  }
  if (isSet(linux?.cgroupsPath) && typeof linux.cgroupsPath !== "string")
    return "linux.cgroupsPath is no string";
  const namespaces = linux?.namespaces ?? [];
  if (!Array.isArray(namespaces) || !namespaces.every(isNamespace))
    return "linux.namespaces is no list of namespaces";
  return undefined;
}

function isNamespace(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.type === "string" &&
    (!isSet(value.path) || typeof value.path === "string")
  );
}

// Go reads null like a field that is not there.
function isSet<T>(value: T): value is NonNullable<T> {
  return value !== undefined && value !== null;
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
