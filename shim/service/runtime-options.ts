/** The runtime options of a task, in either of the forms in which containerd's clients send them. */
import { readFileSync, statSync } from "node:fs";
import { containerd, runtimeoptions } from "#protos/shim";
import { DEFAULT_OPTIONS, type RuntimeOptions } from "../bundle/options.js";
import { messageOf, ShimError } from "../errors.js";
import { type Any, bytesOf, typeNameOf } from "../wire.js";

export const RUNC_OPTIONS = "containerd.runc.v1.Options";
/** What is sent for a runtime that the client knows only by name; the second is its name before containerd 1.3. */
const NAMED_OPTIONS = ["runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options"];

const MAX_CONFIG = 1024 * 1024;

/**
 * Options of another type are those of another runtime: none for us, as the runc shim has it.
 * @throws ShimError for options that cannot be decoded
 */
export async function runtimeOptions(any: Any): Promise<RuntimeOptions> {
  const name = typeNameOf(any);
  if (name === RUNC_OPTIONS) return ofRunc(any);
  return NAMED_OPTIONS.includes(name) ? ofNamed(any) : DEFAULT_OPTIONS;
}

function ofRunc(any: Any): RuntimeOptions {
  const options = decoded(RUNC_OPTIONS, () => containerd.runc.v1.Options.decode(bytesOf(any)));
  const names = Object.keys(DEFAULT_OPTIONS) as (keyof RuntimeOptions)[];
  return Object.fromEntries(names.map((name) => [name, options[name]])) as unknown as RuntimeOptions;
}

async function ofNamed(any: Any): Promise<RuntimeOptions> {
  // Only some clients send TOML: its parser is not loaded for the others.
  const { optionsFromToml } = await import("../bundle/options-toml.js");
  const options = decoded("runtimeoptions.v1.Options", () => runtimeoptions.v1.Options.decode(bytesOf(any)));
  const { configPath, configBody } = options;
  if (configPath !== "") return optionsFromToml(fileText(configPath), configPath);
  return optionsFromToml(Buffer.from(configBody).toString("utf8"), "the runtime options' config_body");
}

function fileText(path: string): string {
  try {
    if (!path.startsWith("/")) throw new Error("the path is not absolute");
    const { size } = statSync(path);
    if (size > MAX_CONFIG) throw new Error(`it is longer than ${MAX_CONFIG} bytes`);
    return readFileSync(path, "utf8");
  } catch (cause) {
    const message = `the runtime options' file ${path} cannot be read: ${messageOf(cause)}`;
    throw new ShimError("INVALID_ARGUMENT", message, "mend config_path", cause);
  }
}

export function decoded<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new ShimError("UNKNOWN", `${what} cannot be decoded`, "use a released containerd", cause);
  }
}
