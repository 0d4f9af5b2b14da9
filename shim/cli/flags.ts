/** The command line of a shim: flags as Go parses them, then at most one action. */

export type Action = "start" | "delete" | "info" | "version";

export interface Flags {
  readonly action: Action;
  readonly namespace: string;
  readonly id: string;
  /** containerd's gRPC socket. */
  readonly address: string;
  readonly publishBinary: string;
  readonly bundle: string;
  readonly debug: boolean;
}

const SWITCHES = new Set(["debug", "info", "v", "version"]);
const NAMED = new Set(["namespace", "id", "address", "publish-binary", "bundle", "socket", "debug-socket"]);
const YES = ["true", "1", "t", "T", "TRUE", "True"];
const NO = ["false", "0", "f", "F", "FALSE", "False"];

/**
 * One or two dashes; a value is the next argument or follows "=". A flag that we do not know is passed over,
 * with its value if it seems to have one: containerd may learn new ones.
 *
 * @throws Error for an action that we do not know, a switch that is neither on nor off, a flag of ours without its value
 */
export function parseFlags(argv: readonly string[]): Flags {
  const values = new Map<string, string>();
  let index = 0;
  for (; index < argv.length; index++) {
    const flag = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argv[index] ?? "");
    if (!flag) {
      // What ends the flags is none itself.
      if (argv[index] === "--") index++;
      break;
    }
    const [, name = "", inline] = flag;
    if (inline !== undefined) values.set(name, inline);
    else if (SWITCHES.has(name)) values.set(name, "true");
    else if (NAMED.has(name) && argv[index + 1] === undefined) throw new Error(`flag -${name} needs a value`);
    else if (NAMED.has(name) || !isAction(argv[index + 1])) values.set(name, argv[++index] ?? "");
    else values.set(name, "true");
  }
  const on = (name: string) => isOn(name, values.get(name));
  return {
    action: on("v") || on("version") ? "version" : on("info") ? "info" : actionOf(argv[index]),
    namespace: values.get("namespace") ?? "",
    id: values.get("id") ?? "",
    address: values.get("address") ?? "",
    publishBinary: values.get("publish-binary") ?? "",
    bundle: values.get("bundle") ?? "",
    debug: on("debug"),
  };
}

function isOn(name: string, value = "false"): boolean {
  if (YES.includes(value)) return true;
  if (NO.includes(value)) return false;
  throw new Error(`-${name} must be true or false, got ${JSON.stringify(value)}`);
}

function isAction(argument: string | undefined): boolean {
  return argument === undefined || argument === "start" || argument === "delete";
}

function actionOf(argument: string | undefined): Action {
  switch (argument) {
    case "start":
    case "delete":
      return argument;
    default:
      throw new Error(
        argument
          ? `unknown action ${JSON.stringify(argument)}: use start or delete`
          : "no action: use start or delete",
      );
  }
}

/** @throws Error naming what is missing or malformed: both become parts of paths. */
export function checkIdentity(flags: Flags): void {
  for (const name of ["namespace", "id"] as const) {
    if (!/^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$/.test(flags[name]) || flags[name].length > 128) {
      throw new Error(`-${name} must be an identifier, got ${JSON.stringify(flags[name])}`);
    }
  }
}
