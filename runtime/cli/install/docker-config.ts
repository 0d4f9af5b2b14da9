/** Adds our runtime to the text of Docker's daemon.json, and takes it out again; formatting stays. Pure functions. */
import { isDeepStrictEqual } from "node:util";
import {
  applyEdits,
  type FormattingOptions,
  modify,
  type ParseError,
  parse,
  printParseErrorCode,
} from "jsonc-parser";
import type { Edit } from "./containerd-config.js";
import { refused } from "./errors.js";
import { HANDLER, RUNTIME_TYPE } from "./names.js";
import { isTable, type Table } from "./toml.js";

/** From this version on a runtime may be a shim of its own; before, `runtimeType` keeps dockerd from starting. */
const FIRST_WITH_TYPE = 24;
/** From this one on `docker run --runtime io.containerd.pclive.v2` works without configuration. */
const FIRST_WITH_SHIMS = 23;

const RUNTIME = { runtimeType: RUNTIME_TYPE };
const BYTE_ORDER_MARK = "\uFEFF";

/** Why this Docker gets no entry, or undefined when it gets one. */
export function unsuitable(major: number): string | undefined {
  if (major >= FIRST_WITH_TYPE) return undefined;
  return major >= FIRST_WITH_SHIMS
    ? `Docker ${major} takes no shim in daemon.json; \`docker run --runtime ${RUNTIME_TYPE}\` works as it is`
    : `Docker ${major} cannot run containers by another shim; it takes version ${FIRST_WITH_TYPE}`;
}

export function addRuntime(path: string, text: string): Edit {
  const config = parseConfig(path, text);
  const { runtimes } = config;
  if (runtimes !== undefined && !isTable(runtimes)) {
    throw refused(
      path,
      '"runtimes" is not an object',
      "mend the file; dockerd does not start with it either",
    );
  }
  const theirs = runtimes?.[HANDLER];
  if (isTable(theirs) && theirs["runtimeType"] === RUNTIME_TYPE) {
    return { kind: "unchanged", why: "the runtime is there" };
  }
  if (theirs !== undefined) {
    throw refused(
      path,
      `another runtime is called "${HANDLER}" there`,
      "take it out, or skip Docker with --no-docker",
    );
  }
  const changed = text.trim() === "" ? fresh() : set(text, ["runtimes", HANDLER], RUNTIME);
  const expected = { ...config, runtimes: { ...runtimes, [HANDLER]: RUNTIME } };
  if (!isDeepStrictEqual(parseConfig(path, changed), expected)) {
    throw refused(
      path,
      "it cannot be edited safely",
      "mend the file, or add the runtime by hand: docs/install.md",
    );
  }
  return { kind: "changed", text: changed };
}

/** @param madeRuntimes whether the key `runtimes` came with us, and so goes with us when it is empty */
export function removeRuntime(path: string, text: string, madeRuntimes: boolean): Edit {
  const config = parseConfig(path, text);
  const { runtimes } = config;
  if (!isTable(runtimes) || !isDeepStrictEqual(runtimes[HANDLER], RUNTIME)) {
    return { kind: "unchanged", why: "nothing of ours is in it" };
  }
  if (config["default-runtime"] === HANDLER) {
    throw refused(
      path,
      `its default-runtime is "${HANDLER}"`,
      'set it to "runc" or take it out, then try again',
    );
  }
  const last = madeRuntimes && Object.keys(runtimes).length === 1;
  return { kind: "changed", text: set(text, last ? ["runtimes"] : ["runtimes", HANDLER], undefined) };
}

/** Whether the file has the key under which our entry comes. */
export function hasRuntimes(path: string, text: string): boolean {
  return "runtimes" in parseConfig(path, text);
}

function fresh(): string {
  return `${JSON.stringify({ runtimes: { [HANDLER]: RUNTIME } }, null, 2)}\n`;
}

function set(text: string, path: string[], value: unknown): string {
  return applyEdits(text, modify(text, path, value, { formattingOptions: formatting(text) }));
}

/** The indentation of the file's first property, and its ends of line. */
function formatting(text: string): FormattingOptions {
  const indent = /\{\s*?\r?\n([ \t]+)"/.exec(text)?.[1] ?? "  ";
  return {
    insertSpaces: !indent.startsWith("\t"),
    tabSize: indent.startsWith("\t") ? 4 : indent.length,
    eol: text.includes("\r\n") ? "\r\n" : "\n",
  };
}

/** Docker takes an empty file, and a byte order mark; not comments, nor commas at the end. */
function parseConfig(path: string, text: string): Table {
  const body = text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
  if (body.trim() === "") return {};
  const errors: ParseError[] = [];
  const value: unknown = parse(body, errors, { disallowComments: true, allowTrailingComma: false });
  const [error] = errors;
  if (error !== undefined) {
    const line = body.slice(0, error.offset).split("\n").length;
    throw refused(
      path,
      `not valid JSON: line ${line}: ${printParseErrorCode(error.error)}`,
      "mend the file; `dockerd --validate` must accept it",
    );
  }
  if (!isTable(value)) throw refused(path, "not a JSON object", "mend the file; it must be { … }");
  return value;
}
