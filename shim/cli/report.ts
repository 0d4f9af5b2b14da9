/** What the server tells `start` on descriptor 3. */
import { closeSync, writeSync } from "node:fs";

export type ServerReport =
  /** This server, or another one of the group, accepts connections. */
  { readonly kind: "ready" } | { readonly kind: "failed"; readonly message: string };

const CHANNEL = 3;

export function sendReport(report: ServerReport): void {
  writeSync(CHANNEL, JSON.stringify(report));
  closeSync(CHANNEL);
}

/** A server that died without a word has failed. */
export function parseReport(text: string): ServerReport {
  try {
    const value: unknown = JSON.parse(text);
    const { kind, message } = (value ?? {}) as { kind?: unknown; message?: unknown };
    if (kind === "ready") return { kind };
    return { kind: "failed", message: typeof message === "string" ? message : "no reason given" };
  } catch {
    return { kind: "failed", message: text || "it ended at once" };
  }
}
