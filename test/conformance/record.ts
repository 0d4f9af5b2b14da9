/** What one shim did in one row: labelled outcomes, with everything masked that differs from run to run. */
import { io } from "#protos/metrics";
import { containerd } from "#protos/shim";
import { Code, TtrpcError } from "#ttrpc";

export interface Line {
  readonly label: string;
  outcome: string;
  /** Not compared: a message's full text. */
  detail: string;
}

const CODE_NAMES = new Map<number, string>(Object.entries(Code).map(([name, code]) => [code, name]));
/** Go's time.Time{} as a protobuf timestamp; clients see no difference to an absent one. */
const GO_ZERO_SECONDS = -62135596800;
const RECENT_MS = 120_000;

export class Record {
  readonly lines: Line[] = [];
  readonly #pids = new Map<number, string>();
  readonly #texts: { readonly text: string; readonly mask: string }[] = [];

  /** A line whose outcome comes later; lines keep the order in which they were opened. */
  open(label: string): Line {
    const twins = this.lines.filter((line) => line.label === label || line.label.startsWith(`${label} #`));
    const line = {
      label: twins.length === 0 ? label : `${label} #${twins.length + 1}`,
      outcome: "no answer",
      detail: "",
    };
    this.lines.push(line);
    return line;
  }

  note(label: string, value: unknown): void {
    this.open(label).outcome = this.describe(value);
  }

  count(label: RegExp): number {
    return this.lines.filter((line) => label.test(line.label)).length;
  }

  namePid(pid: number, name: string): void {
    if (pid > 0) this.#pids.set(pid, name);
  }

  pid(pid: number): string {
    return pid === 0 ? "0" : (this.#pids.get(pid) ?? "unknown");
  }

  maskText(text: string, mask: string): void {
    this.#texts.push({ text, mask });
    this.#texts.sort((a, b) => b.text.length - a.text.length);
  }

  mask(text: string): string {
    return this.#texts.reduce((masked, each) => masked.replaceAll(each.text, each.mask), text);
  }

  /** One line of text for any value. Of messages the fields that are set, as protobuf has no others. */
  describe(value: unknown, key = ""): string {
    if (typeof value === "string") return this.mask(value);
    if (typeof value === "number" && /^(task)?pid$/i.test(key)) return this.pid(value);
    if (key === "shimPid") return "set";
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (Array.isArray(value)) return `[${value.map((each) => this.describe(each)).join(", ")}]`;
    if (typeof value !== "object" || value === null) return String(value);
    if (/At$|^timestamp$/.test(key)) return timeOf(value as { seconds?: number; nanos?: number });
    if ("type_url" in value) return this.#describeAny(value as { type_url: string; value?: Uint8Array });
    const fields = Object.entries(value)
      .map(([name, field]) => [name, field, this.describe(field, name)] as const)
      .filter(([, field, text]) => isSet(field) && text !== "unset")
      .map(([name, , text]) => `${name}=${text}`);
    return fields.join(" ") || "ok";
  }

  #describeAny(any: { type_url: string; value?: Uint8Array }): string {
    const bytes = any.value ?? new Uint8Array();
    switch (any.type_url) {
      case "containerd.runc.v1.ProcessDetails":
        return `details of ${containerd.runc.v1.ProcessDetails.decode(bytes).execId}`;
      case "io.containerd.cgroups.v1.Metrics":
        return `v1 ${Object.keys(io.containerd.cgroups.v1.Metrics.decode(bytes)).sort().join(" ")}`;
      case "io.containerd.cgroups.v2.Metrics":
        return `v2 ${Object.keys(io.containerd.cgroups.v2.Metrics.decode(bytes)).sort().join(" ")}`;
      default:
        return `${any.type_url} ${bytes.length} bytes`;
    }
  }
}

export function codeOf(error: unknown): string {
  return error instanceof TtrpcError ? (CODE_NAMES.get(error.code) ?? String(error.code)) : "no ttrpc error";
}

function isSet(value: unknown): boolean {
  if (Array.isArray(value)) return value.length > 0;
  return value !== 0 && value !== "" && value !== false && value !== null && value !== undefined;
}

function timeOf({ seconds = 0, nanos = 0 }: { seconds?: number; nanos?: number }): string {
  if (seconds === GO_ZERO_SECONDS) return "unset";
  if (seconds === 0 && nanos === 0) return "1970";
  return Math.abs(Date.now() - seconds * 1000) < RECENT_MS ? "recent" : "another time";
}
